"""DropBlock, DropBlock+ and BFE: how much they drop, in which shapes, and what they leave."""

import pytest
import torch
from torch import Tensor, nn

from resight.models.dropblock import DROPS, BatchFeatureErasing, DropBlock

SIZE = (48, 16)
"""The map that SONA-Net drops from."""

each = pytest.mark.parametrize("name", ["dropblock", "dropblock+", "bfe"])


def make(name: str, **settings: float) -> DropBlock | BatchFeatureErasing:
    drop = DROPS.build(name, **settings)
    assert isinstance(drop, DropBlock | BatchFeatureErasing)
    return drop


def masks(name: str, count: int, **settings: float) -> Tensor:
    """Return what the layer keeps of that many images [count, H, W], each from a batch of its own for BFE."""
    drop = make(name, **settings)
    if isinstance(drop, DropBlock):
        return drop.mask(torch.empty(count, 3, *SIZE))[:, 0]
    return torch.cat([drop.mask(torch.empty(2, 3, *SIZE))[:, 0] for _ in range(count)])


def expected_share(drop: DropBlock) -> float:
    """Return the dropped share, counting for each position the places from which a block covers it."""
    rows, columns = SIZE
    covering = torch.zeros(SIZE, dtype=torch.float64)
    for top in range(rows - drop.height + 1):
        for left in range(columns - drop.width + 1):
            covering[top : top + drop.height, left : left + drop.width] += 1
    return float((1 - (1 - drop.rate(*SIZE)) ** covering).mean())


@pytest.mark.parametrize(
    ("name", "rate", "share"), [("dropblock+", 0.00485, 0.094), ("dropblock", 0.00582, 0.0944)]
)
def test_rate_and_dropped_share_of_blocks(name: str, rate: float, share: float) -> None:
    drop = make(name)
    assert isinstance(drop, DropBlock)
    assert drop.rate(*SIZE) == pytest.approx(rate, abs=5e-6)
    assert expected_share(drop) == pytest.approx(share, abs=5e-4)
    dropped = 1 - masks(name, 4000)
    assert dropped.mean().item() == pytest.approx(expected_share(drop), abs=0.003)


def test_blocks_placed_at_a_tenth_of_all_places_would_drop_nearly_everything() -> None:
    """Why gamma = 0.1 is read as a share, not as a rate."""
    drop = DropBlock()
    drop.rate = lambda rows, columns: 0.1  # type: ignore[method-assign]
    assert drop.mask(torch.empty(500, 1, *SIZE)).mean() < 0.25


def test_bfe_drops_three_tenths_of_the_lines() -> None:
    assert torch.equal((1 - masks("bfe", 50)).mean((1, 2)), torch.full((50,), 14 / 48))


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_the_share_is_a_setting(share: float) -> None:
    dropped = 1 - masks("dropblock+", 2000, share=share)
    assert share * 0.85 < dropped.mean() < share


@pytest.mark.parametrize(
    ("name", "block", "settings"),
    [
        ("dropblock+", (5, 8), {}),
        ("dropblock", (5, 5), {}),
        ("dropblock+", (3, 4), {"height": 3, "width": 4}),
        ("dropblock", (7, 7), {"side": 7}),
    ],
)
def test_what_is_dropped_is_made_of_blocks(
    name: str, block: tuple[int, int], settings: dict[str, float]
) -> None:
    """Each dropped position lies in a block that is dropped as a whole; lone ones have just its size."""
    dropped = 1 - masks(name, 300, share=0.03, **settings)[:, None]
    whole = -nn.functional.max_pool2d(-dropped, block, stride=1)  # 1 where a block begins
    around = (block[1] - 1, block[1] - 1, block[0] - 1, block[0] - 1)
    assert torch.equal(nn.functional.max_pool2d(nn.functional.pad(whole, around), block, stride=1), dropped)
    lone = dropped[whole.sum((1, 2, 3)) == 1]
    assert len(lone) > 30
    assert torch.equal(lone.sum((1, 2, 3)), torch.full((len(lone),), block[0] * block[1] * 1.0))


def test_blocks_reach_every_corner_and_bfe_every_line() -> None:
    for name in ("dropblock", "dropblock+", "bfe"):
        assert (masks(name, 3000).mean(0) < 1).all()


@each
def test_which_channels_and_images_share_a_mask(name: str) -> None:
    """DropBlock draws one for each channel, DropBlock+ one for each image, BFE one for the batch."""
    drop, features = make(name), torch.ones(16, 5, *SIZE)
    kept = drop(features) != 0
    assert torch.equal(kept, kept[:, :1].expand_as(kept)) == (name != "dropblock")
    assert torch.equal(kept, kept[:1].expand_as(kept)) == (name == "bfe")
    assert not kept.all()
    assert kept.any()


def test_what_dropblock_leaves_is_rescaled_by_the_kept_share() -> None:
    dropped = make("dropblock")(torch.ones(8, 3, *SIZE))
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, dropped.numel() / kept.numel()))
    torch.testing.assert_close(dropped.mean(), torch.tensor(1.0))


@pytest.mark.parametrize("name", ["dropblock+", "bfe"])
def test_what_dropblock_plus_and_bfe_leave_is_as_it_was(name: str) -> None:
    features = torch.randn(8, 3, *SIZE)
    dropped = make(name)(features)
    assert torch.equal(dropped[dropped != 0], features[dropped != 0])


@pytest.mark.parametrize("name", ["dropblock", "dropblock+"])
def test_sharing_and_rescaling_are_settings(name: str) -> None:
    drop = make(name, shared=name == "dropblock", rescale=name == "dropblock+")
    dropped = drop(torch.ones(8, 3, *SIZE))
    kept = dropped != 0
    assert torch.equal(kept, kept[:, :1].expand_as(kept)) == (name == "dropblock")
    value = 1 if name == "dropblock" else kept.numel() / int(kept.sum())
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], value))


@each
def test_at_test_time_nothing_changes(name: str) -> None:
    features = torch.randn(4, 3, *SIZE)
    assert make(name).eval()(features) is features


@each
def test_the_global_generator_decides(name: str) -> None:
    drop, features = make(name), torch.randn(8, 3, *SIZE)
    torch.manual_seed(7)
    first = [drop(features) for _ in range(3)]
    torch.manual_seed(7)
    assert all(torch.equal(drop(features), before) for before in first)
    assert not torch.equal(first[0], first[1])


@each
@pytest.mark.parametrize("size", [(1, 1), (4, 2), (3, 16), (8, 4)])
def test_on_maps_smaller_than_a_block_the_block_shrinks(name: str, size: tuple[int, int]) -> None:
    drop = make(name)
    for _ in range(50):
        assert drop(torch.randn(4, 3, *size)).isfinite().all()
    if isinstance(drop, DropBlock):
        dropped = 1 - drop.mask(torch.empty(4000, 1, *size)).mean()
        assert 0.07 < dropped < 0.115


@each
def test_gradients_flow_where_features_are_kept(name: str) -> None:
    features = torch.randn(4, 3, *SIZE, requires_grad=True)
    dropped = make(name)(features)
    dropped.sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad != 0, dropped != 0)


@each
def test_the_precision_of_the_features_stays(name: str) -> None:
    assert make(name)(torch.randn(2, 3, *SIZE, dtype=torch.bfloat16)).dtype == torch.bfloat16


@each
@pytest.mark.parametrize("training", [True, False])
def test_it_can_be_exported(name: str, training: bool) -> None:
    drop, features = make(name).train(training), torch.randn(4, 3, *SIZE)
    exported = torch.export.export(drop, (features,)).module()
    torch.manual_seed(3)
    expected = drop(features)
    torch.manual_seed(3)
    torch.testing.assert_close(exported(features), expected)
