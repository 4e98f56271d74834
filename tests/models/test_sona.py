"""SONA-Net as its paper describes it: shapes, parameters, the rows of Table 5, branches, any trunk."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError
from resight.models.attention.second_order import NonLocal, SecondOrder
from resight.models.complexity import example, measure
from resight.models.dropblock import BatchFeatureErasing, DropBlock
from resight.models.network import Network, build_model
from resight.models.representation import Representation
from resight.models.sona import SONA

TINY: dict[str, Any] = {
    "trunk": {"name": "resnet", "depth": 18, "strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
    "input_size": (64, 32),
}
"""Small enough for quick tests; its last map has 8x4 positions."""

TRUNK = 23_508_032
"""Parameters of ResNet-50 without its classifier."""
REDUCTIONS = 2048 * 512 + 2 * 512 + 2048 * 1024 + 2 * 1024
BOTTLENECK = 2 * 2048 * 512 + 9 * 512 * 512 + 2 * (512 + 512 + 2048)

SECOND = "second-order"
ROWS: dict[str, dict[str, Any]] = {
    "BL": {"attention": None, "drop": None},
    "BL+DB": {"attention": None, "drop": "dropblock"},
    "BL+DB+": {"attention": None, "drop": "dropblock+"},
    "BL+BFE": {"attention": None, "drop": "bfe"},
    "BL+SONA2": {"attention": {"layer2": SECOND}, "drop": None},
    "BL+BFE+SONA2": {"attention": {"layer2": SECOND}, "drop": "bfe"},
    "SONA2-Net": {"attention": {"layer2": SECOND}},
    "SONA3-Net": {"attention": {"layer3": SECOND}},
    "SONA23-Net": {"attention": {"layer2": SECOND, "layer3": SECOND}},
    "SONA4 global": {"attention": None, "branch_attention": {"global": SECOND}},
    "SONA4 local": {"attention": None, "branch_attention": {"local": SECOND}},
    "SONA4 both": {"attention": None, "branch_attention": {"global": SECOND, "local": SECOND}},
}
"""Table 5, and what Section 3.4 says of attention after stage 4."""


def tiny(**settings: Any) -> SONA:
    model = build_model("sona", 5, **TINY | settings)
    assert isinstance(model, SONA)
    return model


def full(**settings: Any) -> Network:
    with torch.device("meta"):
        return build_model("sona", 751, **settings)


def awake(model: SONA) -> SONA:
    """Let the attention do something from the start."""
    for module in model.modules():
        if isinstance(module, SecondOrder | NonLocal):
            nn.init.normal_(module.p.weight, std=0.1)
    return model


def images(batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 64, 32)


def loss_of(found: Representation, persons: Tensor) -> Tensor:
    logits = [branch.logits for branch in found.branches.values() if branch.logits is not None]
    return torch.stack([functional.cross_entropy(part.float(), persons) for part in logits]).sum()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_shapes_at_every_stage() -> None:
    found = example(full())
    assert {layer: tuple(features.shape) for layer, features in found.features.items()} == {
        "layer1": (2, 256, 96, 32),
        "layer2": (2, 512, 48, 16),
        "layer3": (2, 1024, 48, 16),
        "layer4": (2, 2048, 48, 16),
    }
    assert {name: tuple(branch.embedding.shape) for name, branch in found.branches.items()} == {
        "global": (2, 512),
        "local": (2, 1024),
    }
    for branch in found.branches.values():
        assert branch.logits is not None
        assert branch.logits.shape == (2, 751)


def attention_parameters(channels: int) -> int:
    """theta, g and p with r = 2: three matrices, two biases, one normalisation."""
    inner = channels // 2
    return 3 * channels * inner + inner + channels + 2 * inner


@pytest.mark.parametrize(
    ("variant", "channels", "written_out"),
    [
        ("sona-baseline", [], 31_119_424),
        ("sona-2", [512], 31_513_920),
        ("sona-3", [1024], 32_694_848),
        ("sona-23", [512, 1024], 33_089_344),
        ("sona-4-global", [2048], 37_416_000),
        ("sona-4-local", [2048], 37_416_000),
        ("sona-4", [2048, 2048], 43_712_576),
    ],
)
def test_parameters(variant: str, channels: list[int], written_out: int) -> None:
    whole = measure(full(**SONA.variants[variant])).parameters
    assert whole == TRUNK + REDUCTIONS + BOTTLENECK + sum(map(attention_parameters, channels)) == written_out


def test_what_attention_multiplies_after_layer2() -> None:
    """Three 1x1 convolutions and two products of the hw x hw attention."""
    positions, channels, inner = 48 * 16, 512, 256
    extra = measure(full()).multiply_adds - measure(full(attention=None)).multiply_adds
    assert extra == 3 * positions * channels * inner + 2 * positions**2 * inner


def test_the_local_branch_can_be_left_out() -> None:
    model = full(local=False)
    assert list(example(model).branches) == ["global"]
    assert measure(model).parameters == TRUNK + 2048 * 512 + 2 * 512 + attention_parameters(512)


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_table_5_trains_all_its_parameters(row: str) -> None:
    model = awake(tiny(**ROWS[row]))
    found = model(images())
    assert list(found.branches) == ["global", "local"]
    loss_of(found, torch.tensor([0, 1, 2, 3])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    attention = ROWS[row]["attention"] or {}
    branches = ROWS[row].get("branch_attention", {})
    assert sum(isinstance(part, SecondOrder) for part in model.modules()) == len(attention) + len(branches)
    kinds = {"bfe": BatchFeatureErasing, None: nn.Identity}
    assert isinstance(model.drop, kinds.get(ROWS[row].get("drop", "dropblock+"), DropBlock))
    if isinstance(model.drop, DropBlock):
        block = (model.drop.height, model.drop.width)
        assert block == ((5, 5) if row == "BL+DB" else (5, 8))


@pytest.mark.parametrize("variant", SONA.variants)
def test_the_variants_differ_in_what_they_say(variant: str) -> None:
    settings = SONA.variants[variant]
    built = [name for name, module in full(**settings).named_modules() if isinstance(module, SecondOrder)]
    expected = {
        "sona-2": ["attentions.layer2.0"],
        "sona-3": ["attentions.layer3.0"],
        "sona-23": ["attentions.layer2.0", "attentions.layer3.0"],
        "sona-4-global": ["branch_attentions.global_.0"],
        "sona-4-local": ["branch_attentions.local.0"],
        "sona-4": ["branch_attentions.global_.0", "branch_attentions.local.0"],
        "sona-baseline": [],
    }
    assert built == expected[variant]


def test_the_branches_pool_as_the_paper_says() -> None:
    model = tiny(drop=None).eval()
    pooled: dict[str, Tensor] = {}
    model.global_head.register_forward_pre_hook(lambda _, given: pooled.update({"global": given[0]}))
    assert model.local_head is not None
    model.local_head.register_forward_pre_hook(lambda _, given: pooled.update({"local": given[0]}))
    features = model(images()).features["layer4"]
    torch.testing.assert_close(pooled["global"], features.mean((2, 3)))
    torch.testing.assert_close(pooled["local"], model.bottleneck(features).amax((2, 3)))


@pytest.mark.parametrize("branch", ["global", "local"])
def test_attention_on_one_branch_leaves_the_other(branch: str) -> None:
    model, x = tiny(attention=None, branch_attention={branch: SECOND}).eval(), images()
    before = {name: found.embedding for name, found in model(x).branches.items()}
    awake(model)
    after = {name: found.embedding for name, found in model(x).branches.items()}
    assert {name for name in before if not torch.equal(before[name], after[name])} == {branch}


def test_blocks_are_dropped_in_the_local_branch_alone() -> None:
    model = tiny(drop={"name": "dropblock+", "share": 0.5}).eval()
    x = images(1).expand(8, -1, -1, -1)
    assert model.drop.train()
    found = model(x).branches
    assert torch.allclose(found["global"].embedding, found["global"].embedding[:1], atol=1e-6)
    assert not torch.allclose(found["local"].embedding, found["local"].embedding[:1], atol=1e-3)


def test_attention_begins_as_the_identity() -> None:
    plain, attentive = tiny(attention=None).eval(), tiny().eval()
    attentive.load_state_dict(plain.state_dict(), strict=False)
    x = images()
    assert torch.equal(plain.embed(x), attentive.embed(x))


def test_the_descriptor_is_the_mean_over_the_crop_and_its_mirror_image() -> None:
    model, x = tiny().eval(), images()
    assert model.views == "mirror"
    branches = [model(view).branches for view in (x, x.flip(3))]
    described = [torch.cat([one[name].embedding for name in ("global", "local")], 1) for one in branches]
    found = model.embed(x)
    assert found.shape == (4, 1536)
    torch.testing.assert_close(found, (described[0] + described[1]) / 2)
    torch.testing.assert_close(found, model.embed(x.flip(3)))


@pytest.mark.parametrize(
    ("trunk", "width"),
    [({"name": "resnet", "depth": 18}, 512), ({"name": "osnet"}, 512), ({"name": "mobilenet"}, 1024)],
)
def test_the_branches_take_the_width_of_any_trunk(trunk: dict[str, Any], width: int) -> None:
    model = full(trunk=trunk, attention=None, branch_attention={"global": SECOND, "local": "non-local"})
    found = example(model)
    assert next(reversed(found.features.values())).shape[1] == width
    assert {name: branch.embedding.shape[1] for name, branch in found.branches.items()} == {
        "global": 512,
        "local": 1024,
    }
    assert isinstance(model, SONA)
    assert model.bottleneck.conv2.weight.shape == (width // 4, width // 4, 3, 3)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"attention": {"layer5": SECOND}}, "^attention: the network has no layer 'layer5'"),
        ({"branch_attention": {"lokal": SECOND}}, "no branch 'lokal'. Did you mean 'local'"),
        ({"branch_attention": {"local": SECOND}, "local": False}, "^branch_attention: .* no branch 'local'"),
    ],
)
def test_attention_where_there_is_no_such_place_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        full(**settings)
