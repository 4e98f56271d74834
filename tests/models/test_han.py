"""HAN as its paper describes it: figures of Tables 1 and 12, streams, regions, switches."""

import inspect
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError
from resight.models.attention.harmonious import HardAttention, SoftAttention
from resight.models.attention.regions import cut_regions
from resight.models.complexity import measure
from resight.models.han import HAN, geometry
from resight.models.heads import Classifier
from resight.models.network import build_model
from resight.models.units import DepthwiseUnit, InceptionB, ResidualBottleneck

TINY: dict[str, Any] = {"widths": (16, 32, 48), "input_size": (80, 32)}
"""Small enough for quick tests, all three widths different."""
SWITCHES = ("spatial", "channel", "regions", "interaction", "local")


def tiny(**settings: Any) -> HAN:
    model = build_model("han", 5, **TINY | settings)
    assert isinstance(model, HAN)
    return model


def images(batch: int = 4, size: tuple[int, int] = (80, 32)) -> Tensor:
    return torch.randn(batch, 3, *size)


def inputs_of(module: nn.Module) -> list[Tensor]:
    """Collect what the module is given from now on."""
    seen: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


def outputs_of(module: nn.Module) -> list[Tensor]:
    seen: list[Tensor] = []
    module.register_forward_hook(lambda _, given, result: seen.append(result))
    return seen


@pytest.mark.parametrize(
    ("settings", "published", "expected"),
    [
        ({"size": "small"}, 3.68e8, 3.713e8),
        ({"size": "medium"}, 5.33e8, 5.399e8),
        ({"size": "large"}, 7.01e8, 7.086e8),
        ({"unit": "inception"}, 1.09e9, 1.088e9),
        ({"unit": "residual"}, 1.34e9, 1.337e9),
    ],
)
def test_flops_of_tables_1_and_12(settings: dict[str, str], published: float, expected: float) -> None:
    cost = measure(build_model("han", 751, **settings))
    assert cost.flops == pytest.approx(published, rel=0.02)
    assert cost.flops == pytest.approx(expected, rel=0.001)
    assert cost.multiply_adds * 2 == cost.flops
    assert cost.input == (160, 64)
    assert cost.embedding == 1024


def test_the_sizes_differ_in_strides_alone() -> None:
    shapes = [
        {name: tensor.shape for name, tensor in tiny(size=size).state_dict().items()}
        for size in ("small", "medium", "large")
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_four_streams_share_one_local_block() -> None:
    model = build_model("han", 5)
    assert isinstance(model, HAN)
    assert sum(p.numel() for p in model.local_blocks[0].parameters()) == 32 * 128 + 128 * 9 + 4 * 128
    seen = [inputs_of(block) for block in model.local_blocks]
    model(images(2, (160, 64)))
    assert [tuple(given[0].shape) for given in seen] == [(8, 32, 24, 28), (8, 128, 12, 14), (8, 256, 6, 7)]


def test_all_four_streams_are_in_the_flops() -> None:
    multiply_adds = 24 * 28 * 32 * 128 + 12 * 14 * 128 * 9
    multiply_adds += 12 * 14 * 128 * 256 + 6 * 7 * 256 * 9
    multiply_adds += 6 * 7 * 256 * 384 + 3 * 4 * 384 * 9
    head_and_places = 4 * 384 * 512 + 8 * (128 + 256 + 384)
    whole = measure(build_model("han", 5))
    alone = measure(build_model("han", 5, local=False, feature_size=512))
    assert whole.multiply_adds - alone.multiply_adds == 4 * multiply_adds + head_and_places


def test_nine_depthwise_units_in_the_global_branch_and_three_in_the_local() -> None:
    model = tiny()
    assert sum(isinstance(part, DepthwiseUnit) for part in model.global_blocks.modules()) == 9
    assert sum(isinstance(part, DepthwiseUnit) for part in model.local_blocks.modules()) == 3


def test_geometry_of_maps_and_regions() -> None:
    assert geometry((160, 64)) == ([(80, 32), (40, 16), (20, 8)], [(24, 28), (12, 14), (6, 7)])
    assert geometry((256, 128)) == ([(128, 64), (64, 32), (32, 16)], [(38, 56), (19, 28), (10, 14)])


def test_regions_are_boxes_that_tile_the_image_at_first() -> None:
    found = build_model("han", 5).eval()(images(2, (160, 64)))
    assert list(found.regions) == ["level1", "level2", "level3"]
    tops = torch.tensor([0, 0.7 / 3, 1.4 / 3, 0.7])
    for boxes in found.regions.values():
        left, top, right, bottom = boxes.unbind(-1)
        torch.testing.assert_close(top, tops.expand(2, 4), rtol=0, atol=1e-6)
        torch.testing.assert_close(bottom - top, torch.full((2, 4), 0.3))
        torch.testing.assert_close(left, torch.full((2, 4), 0.0625))
        torch.testing.assert_close(right, torch.full((2, 4), 0.9375))


def test_a_box_is_where_the_region_is_cut() -> None:
    """A picture that is bright in one box only: the stream of that region alone sees all of it."""
    model = tiny().eval()
    hard = model.hard[0]
    assert isinstance(hard, HardAttention)
    with torch.no_grad():
        hard.place.bias.view(4, 2)[2] = torch.atanh(torch.tensor([-0.1, 0.35]))
    left, top, right, bottom = model(images(1)).regions["level1"][0, 2].tolist()
    (rows, columns), region = model.map_sizes[0], model.region_sizes[0]
    maps = torch.zeros(1, 1, rows, columns)
    maps[..., round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)] = 1
    cut = cut_regions(maps, torch.tensor([[[-0.1, 0.35]]]), region)
    assert cut.mean() > 0.9


def test_level_1_is_cut_out_of_the_stem() -> None:
    model = tiny().eval()
    stem, streams, places = (
        outputs_of(model.stem),
        inputs_of(model.local_blocks[0]),
        outputs_of(model.hard[0]),
    )
    model(images())
    assert torch.equal(streams[0], cut_regions(stem[0], places[0], model.region_sizes[0]))


@pytest.mark.parametrize("level", [1, 2])
def test_later_levels_add_what_is_cut_out_of_the_attended_block_before(level: int) -> None:
    model = tiny().eval()
    place_randomly(model)
    block, soft = outputs_of(model.global_blocks[level - 1]), outputs_of(model.soft[level - 1])
    before, after = outputs_of(model.local_blocks[level - 1]), inputs_of(model.local_blocks[level])
    places = outputs_of(model.hard[level])
    model(images())
    cut = cut_regions(block[0] * soft[0], places[0], model.region_sizes[level])
    assert cut.abs().max() > 0
    torch.testing.assert_close(after[0], before[0] + cut)


def test_the_places_depend_on_the_image() -> None:
    model = tiny()
    place_randomly(model)
    boxes = model(images(1) * torch.tensor([0.2, 3]).view(2, 1, 1, 1)).regions["level2"]
    assert not torch.allclose(boxes[0], boxes[1], atol=1e-4)


def place_randomly(model: HAN) -> None:
    for hard in model.hard:
        assert isinstance(hard, HardAttention)
        nn.init.normal_(hard.place.weight, std=0.5)


@pytest.mark.parametrize("training", [True, False])
def test_attention_lies_between_a_half_and_one(training: bool) -> None:
    model = tiny().train(training)
    seen = [outputs_of(soft) for soft in model.soft]
    found = model(3 * images())
    assert list(found.attention) == ["soft1", "soft2", "soft3"]
    for values, shown in zip(seen, found.attention.values(), strict=True):
        assert values[0].min() >= 0.5
        assert values[0].max() <= 1
        torch.testing.assert_close(shown, values[0].mean(1))


def test_shapes_of_the_representation() -> None:
    found = build_model("han", 7)(images(3, (160, 64)))
    assert list(found.branches) == ["global", "local"]
    for branch in found.branches.values():
        assert branch.embedding.shape == (3, 512)
        assert branch.logits is not None
        assert branch.logits.shape == (3, 7)
    assert [tuple(part.shape) for part in found.attention.values()] == [(3, 40, 16), (3, 20, 8), (3, 10, 4)]
    assert [tuple(part.shape) for part in found.regions.values()] == [(3, 4, 4)] * 3


def test_in_training_regions_are_shares_of_pictures_of_any_size() -> None:
    found = build_model("han", 7).train()(images(3, (96, 40)))
    assert [tuple(part.shape) for part in found.attention.values()] == [(3, 24, 10), (3, 12, 5), (3, 6, 3)]
    left, top, right, bottom = found.regions["level1"].unbind(-1)  # of the stem's 48 x 20: 14 x 18
    torch.testing.assert_close(bottom - top, torch.full((3, 4), 14 / 48))
    torch.testing.assert_close(right - left, torch.full((3, 4), 18 / 20))


@pytest.mark.parametrize("switches", list(itertools.product([True, False], repeat=5)))
def test_every_combination_of_switches_trains_all_its_parameters(switches: tuple[bool, ...]) -> None:
    on = dict(zip(SWITCHES, switches, strict=True))
    model = tiny(**on)
    found = model(images())
    assert list(found.branches) == (["global", "local"] if on["local"] else ["global"])
    assert list(found.attention) == (["soft1", "soft2", "soft3"] if on["spatial"] else [])
    levels = ["level1", "level2", "level3"] if on["interaction"] else ["level1"]
    assert list(found.regions) == (levels if on["local"] else [])
    persons = torch.tensor([0, 1, 2, 3])
    sum(functional.cross_entropy(b.logits, persons) for b in found.branches.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert sum(isinstance(part, SoftAttention) for part in model.modules()) == 3 * (
        on["spatial"] or on["channel"]
    )
    learned = len(levels) if on["local"] and on["regions"] else 0
    assert sum(isinstance(part, HardAttention) for part in model.modules()) == learned


def test_each_switch_takes_away_the_parameters_of_its_module() -> None:
    def parameters(**settings: bool) -> int:
        return measure(build_model("han", 5, **settings)).parameters

    widths = (128, 256, 384)
    places = [2 * 4 * c + 2 * 4 for c in widths]
    blend = sum(c * c + 2 * c for c in widths)
    spatial = 3 * (10 + 4)
    channel = sum(2 * c * c // 16 + 2 * (c // 16) + 2 * c for c in widths)
    whole = parameters()
    assert whole - parameters(spatial=False) == spatial + blend
    assert whole - parameters(channel=False) == channel + blend
    assert whole - parameters(spatial=False, channel=False) == spatial + channel + blend
    assert whole - parameters(regions=False) == sum(places)
    assert whole - parameters(interaction=False) == places[1] + places[2]


def test_without_learned_places_the_regions_stay_where_they_tile_the_body() -> None:
    def moved(model: HAN) -> bool:
        before = model.eval()(images()).regions["level1"]
        optimizer = torch.optim.SGD(model.parameters(), 10)
        model.train()(images()).branches["local"].logits.square().sum().backward()
        optimizer.step()
        return not torch.equal(model.eval()(images()).regions["level1"], before)

    assert moved(tiny())
    assert not moved(tiny(regions=False))
    places = [tiny(regions=learned).eval()(images()).regions["level2"] for learned in (True, False)]
    torch.testing.assert_close(*places)


def test_without_interaction_the_streams_see_the_stem_alone() -> None:
    model = tiny(interaction=False).eval()
    before, after = outputs_of(model.local_blocks[0]), inputs_of(model.local_blocks[1])
    model(images())
    assert torch.equal(before[0], after[0])


def test_without_soft_attention_the_blocks_follow_one_another() -> None:
    model = tiny(spatial=False, channel=False, local=False).eval()
    x = images()
    features = model.stem(x)
    for block in model.global_blocks:
        features = block(features)
    expected = model.global_head(features.mean((2, 3))).embedding
    torch.testing.assert_close(model(x).branches["global"].embedding, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("unit", ["depthwise", "inception", "residual"])
def test_units_of_table_12_build_the_blocks(unit: str) -> None:
    model = tiny(unit=unit)
    kind = {"depthwise": DepthwiseUnit, "inception": InceptionB, "residual": ResidualBottleneck}[unit]
    for block in model.local_blocks:
        assert isinstance(block, kind)
    assert any(isinstance(part, kind) for part in model.global_blocks.modules())
    found = model(images())
    assert found.branches["local"].embedding.shape == (4, 512)


@pytest.mark.parametrize("size", [128, 256, 320, 448, 512, 640, 720, 832, 928, 1024])
def test_feature_sizes_of_figure_6(size: int) -> None:
    model = tiny(feature_size=size).eval()
    assert model.embed(images()).shape == (4, size)
    assert model(images()).branches["global"].embedding.shape == (4, size // 2)


def test_without_the_local_branch_the_global_one_has_the_whole_size() -> None:
    assert tiny(local=False).eval().embed(images()).shape == (4, 1024)


@pytest.mark.parametrize("size", [(256, 128), (33, 47), (64, 32)])
@pytest.mark.parametrize("unit", ["depthwise", "inception", "residual"])
def test_other_input_sizes(size: tuple[int, int], unit: str) -> None:
    model = tiny(input_size=size, unit=unit)
    assert model(images(2, size)).branches["local"].embedding.shape == (2, 512)


def test_each_half_of_the_descriptor_has_length_one_and_can_be_had_alone() -> None:
    model, x = tiny().eval(), images()
    whole = model.embed(x)
    assert whole.shape == (4, 1024)
    torch.testing.assert_close(whole.view(4, 2, 512).norm(dim=2), torch.ones(4, 2))
    assert torch.equal(model.embed(x, ["global"]), whole[:, :512])
    assert torch.equal(model.embed(x, ["local"]), whole[:, 512:])
    assert torch.equal(model.embed(x, ["local", "global"]), whole.roll(512, 1))
    with pytest.raises(UserError, match=r"no branch 'glbal'\. Did you mean 'global'"):
        model.embed(x, ["glbal"])


def test_the_loss_moves_the_regions() -> None:
    model = tiny()
    found = model(images())
    functional.cross_entropy(found.branches["local"].logits, torch.tensor([0, 1, 2, 3])).backward()
    for hard in model.hard:
        assert isinstance(hard, HardAttention)
        assert hard.place.weight.grad is not None
        assert hard.place.bias.grad is not None
        assert (hard.place.weight.grad != 0).all(dim=1).any()
        assert (hard.place.bias.grad != 0).all()


def test_memory_order_does_not_change_the_result() -> None:
    model, x = tiny().eval(), images()
    plain = model.embed(x)
    last = model.to(memory_format=torch.channels_last).embed(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, last)


def test_it_learns_to_tell_a_few_pictures_apart() -> None:
    model, x, persons = tiny(), images(8), torch.arange(8) % 4
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    losses = []
    for _ in range(10):
        logits = [branch.logits for branch in model(x).branches.values()]
        loss = sum(functional.cross_entropy(part, persons) for part in logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_classifiers_belong_to_the_persons() -> None:
    found = [part for part in tiny().modules() if isinstance(part, Classifier)]
    assert [tuple(part.weight.shape) for part in found] == [(5, 512), (5, 512)]


def test_recipes_can_set_everything_by_name() -> None:
    parameters = inspect.signature(HAN.__init__).parameters.values()
    assert [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY] == [
        "self",
        "num_persons",
    ]
