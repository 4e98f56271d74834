"""Networks of trunk, attention, pooling and head: shapes, heads, variants, views, combinations."""

import pytest
import torch
from small import pictures, settle
from torch import Tensor, nn

from resight.errors import UserError
from resight.models.complexity import example, measure
from resight.models.heads import Classifier, Head
from resight.models.network import Network, build_model
from resight.models.pooling import GeneralisedMean
from resight.models.trunk import ATTENTIONS

TINY = {"trunk": {"name": "mobilenet", "width": 0.125}, "input_size": (64, 32)}
VARIANTS = ["resnet-50", "resnet-50-trinet", "mobilenet", "osnet", "sharp", "sn"]


def variant(name: str, persons: int = 751, **settings: object) -> Network:
    from resight.models.pooled import Pooled

    with torch.device("meta"):
        return build_model("pooled", persons, **{**Pooled.variants[name], **settings})


def images(batch: int = 4, height: int = 64, width: int = 32) -> Tensor:
    return torch.randn(batch, 3, height, width)


@pytest.mark.parametrize(
    ("name", "size", "parameters", "classified"),
    [
        ("resnet-50", 2048, 23_508_032, True),
        ("resnet-50-trinet", 128, 23_508_032 + 2048 * 1024 + 2 * 1024 + 1024 * 128 + 128, False),
        ("mobilenet", 1024, 4_231_976 - 1_025_000, True),  # the paper's 4.2 M without its FC
        ("mobilenet-v2", 1280, 3_504_872 - 1_281_000, True),  # torchvision's counts, without classifiers
        ("mobilenet-v3-large", 960, 5_483_032 - 1281 * 1000 - 961 * 1280, True),
        ("mobilenet-v3-small", 576, 2_542_856 - 1025 * 1000 - 577 * 1024, True),
        ("sn", 2048, 23_508_032, False),
    ],
)
def test_variants_have_the_papers_sizes(name: str, size: int, parameters: int, classified: bool) -> None:
    model = variant(name)
    cost = measure(model)
    assert (cost.embedding, cost.parameters, cost.input) == (size, parameters, (256, 128))
    branch = example(model).branches["global"]
    assert branch.embedding.shape == (2, size)
    assert (branch.logits is not None) == classified
    if branch.logits is not None:
        assert branch.logits.shape == (2, 751)


def test_stripes_are_pooled_by_themselves_with_heads_of_their_own() -> None:
    """PCB, Sec. 3.2: the vectors of each stripe are averaged into one, which has its own classifier."""
    trunk = {"name": "resnet", "depth": 18, "width": 0.125, "strides": [1, 2, 1, 1]}
    settings = {"trunk": trunk, "head": "norm", "input_size": (64, 32)}
    model = build_model("pooled", 5, stripes=3, **settings).eval()
    found = model(images(2))
    last = found.features["layer4"]
    assert last.shape[2] == 8
    for number, (top, bottom) in enumerate([(0, 3), (3, 6), (6, 8)]):
        branch, head = found.branches[f"stripe{number + 1}"], model.stripes[number]
        torch.testing.assert_close(branch.embedding, head.feature(last[:, :, top:bottom].mean((2, 3))))
        torch.testing.assert_close(branch.logits, head.classifier(branch.embedding))
    assert list(found.branches) == ["global", "stripe1", "stripe2", "stripe3"]
    assert measure(model).embedding == 4 * 64
    assert set(build_model("pooled", 5, **settings).state_dict()) < set(model.state_dict())


def test_more_stripes_than_rows_are_refused() -> None:
    with pytest.raises(UserError, match="has 2 rows of positions; got 3 stripes"):
        build_model("pooled", 5, stripes=3, **TINY)


def test_osnet_has_its_papers_size_and_cost() -> None:
    """Zhou et al., Table 9: 2.2 million parameters, 978.9 million multiply-adds at 256x128."""
    cost = measure(variant("osnet"))
    assert cost.embedding == 512
    assert 2.15e6 < cost.parameters < 2.25e6
    assert cost.multiply_adds == pytest.approx(978.9e6, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "millions", "adds"),
    [
        ("osnet", 2.2, 0.98),
        ("osnet-x0.75", 1.3, 0.57),
        ("osnet-x0.5", 0.6, 0.27),
        ("osnet-x0.25", 0.2, 0.08),
        ("osnet-ibn", 2.2, 0.98),
        ("osnet-ain", 2.2, 0.98),
    ],
)
def test_osnets_have_the_figures_of_torchreids_model_zoo(name: str, millions: float, adds: float) -> None:
    cost = measure(variant(name))
    assert (round(cost.parameters / 1e6, 1), round(cost.multiply_adds / 1e9, 2)) == (millions, adds)


def test_sharp_is_resnet_50_with_trinets_head_and_the_context_units() -> None:
    model, plain = variant("sharp"), variant("resnet-50-trinet")
    convolutions = [part for part in model.attentions.modules() if isinstance(part, nn.Conv2d)]
    assert sum(part.weight.numel() for part in convolutions) == 507_904 + 2_031_616 + 8_126_464
    norms = [part for part in model.attentions.modules() if isinstance(part, nn.BatchNorm2d)]
    extra = 10_665_984 + sum(2 * part.num_features for part in norms)
    assert measure(model).parameters == measure(plain).parameters + extra
    shapes = {name: mask.shape[1:] for name, mask in example(model).attention.items()}
    assert shapes == {
        "layer1": (256, 64, 32),
        "layer2": (512, 32, 16),
        "layer3": (1024, 16, 8),
        "layer4": (2048, 8, 4),
    }
    assert model.picture_size == (288, 144)


@pytest.mark.parametrize("size", [128, 256, 320, 448, 512, 640, 720, 832, 928, 1024])
def test_resnet_50_with_the_feature_sizes_of_hans_fig_6(size: int) -> None:
    assert measure(variant("resnet-50", head="fc", feature_size=size)).embedding == size


def test_pooled_features_are_the_embedding_of_the_plainest_head() -> None:
    model = build_model("pooled", 3, **TINY).eval()
    found = model(images())
    expected = found.features["layer4"].mean((2, 3))
    torch.testing.assert_close(found.branches["global"].embedding, expected)


def test_a_head_without_size_of_its_own_refuses_one() -> None:
    with pytest.raises(UserError, match=r"features, 128; got 64\. Take head 'fc'"):
        build_model("pooled", 3, **TINY, feature_size=64)
    assert build_model("pooled", 3, **TINY, feature_size=128).out_channels == 128


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("pooled", [nn.Identity]),
        ("linear", [nn.Linear]),
        ("fc", [nn.Linear, nn.BatchNorm1d, nn.ReLU]),
        ("fc-norm", [nn.Linear, nn.BatchNorm1d]),
        ("trinet", [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]),
    ],
)
def test_heads(kind: str, layers: list[type[nn.Module]]) -> None:
    outputs = 16 if kind == "pooled" else 8
    head = Head(16, outputs, 5, kind)
    feature = head.feature if isinstance(head.feature, nn.Sequential) else [head.feature]
    assert [type(layer) for layer in feature] == layers
    branch = head(torch.randn(4, 16))
    assert branch.embedding.shape == (4, outputs)
    assert branch.logits is not None
    torch.testing.assert_close(branch.logits, head.classifier(branch.embedding))
    assert Head(16, outputs, None, kind)(torch.randn(4, 16)).logits is None


def test_a_network_without_classifier_has_none_at_all() -> None:
    model = build_model("pooled", 3, **TINY, classifier=False)
    assert not any(isinstance(part, Classifier) for part in model.modules())


@pytest.mark.parametrize("descriptor", ["raw", "unit"])
@pytest.mark.parametrize("views", ["one", "mirror", "ten-crop"])
def test_the_descriptor_is_the_mean_over_the_views(views: str, descriptor: str) -> None:
    model = build_model("pooled", 3, **TINY, head="trinet", views=views, descriptor=descriptor)
    settle(model, model)  # as it begins, all pictures look the same to it, and so do all views of one
    model.eval()
    whole = pictures(model.picture_size, 2)
    seen = {
        "one": [whole],
        "mirror": [whole, whole.flip(3)],
        "ten-crop": [
            view
            for top, left in ((0, 0), (0, 4), (8, 0), (8, 4), (4, 2))
            for piece in [whole[:, :, top : top + 64, left : left + 32]]
            for view in (piece, piece.flip(3))
        ],
    }[views]
    found = [model(view).branches["global"].embedding for view in seen]
    if descriptor == "unit":
        found = [nn.functional.normalize(one) for one in found]
    for number, one in enumerate(found):
        assert all((one - other).abs().max() > 1e-3 for other in found[:number])
    torch.testing.assert_close(model.embed(whole), torch.stack(found).mean(0))


@pytest.mark.parametrize("trunk", ["mobilenet", "osnet", "resnet"])
@pytest.mark.parametrize("attention", ["sharp", "harmonious"])
def test_attention_sits_after_every_layer_of_every_trunk(trunk: str, attention: str) -> None:
    part = {"name": trunk, "depth": 18} if trunk == "resnet" else {"name": trunk, "width": 0.25}
    layers = ("layer1", "layer2", "layer3", "layer4")
    model = build_model(
        "pooled", 3, trunk=part, attention=dict.fromkeys(layers, attention), input_size=(64, 32)
    )
    found = model(images())
    assert tuple(found.attention) == layers
    found.branches["global"].embedding.square().sum().backward()
    for module in model.attentions.children():
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_two_modules_follow_each_other() -> None:
    both = [{"name": "harmonious"}, {"name": "sharp", "context": False}]
    found = build_model("pooled", 3, **TINY, attention={"layer2": both})(images())
    assert (found.attention["layer2"].dim(), found.attention["layer2.2"].dim()) == (3, 4)


def test_harmonious_attention_multiplies_by_its_map() -> None:
    block, features = ATTENTIONS.build("harmonious", 16).eval(), torch.rand(2, 16, 6, 4)
    out, seen = block(features)
    attention = block.soft(features, features.mean((2, 3)))
    torch.testing.assert_close(out, features * attention)
    torch.testing.assert_close(seen, attention.mean(1))
    assert ATTENTIONS.build("harmonious", 16, spatial=False)(features)[1] is None
    with pytest.raises(UserError, match="both are false"):
        ATTENTIONS.build("harmonious", 16, spatial=False, channel=False)


def test_mistakes_are_refused() -> None:
    with pytest.raises(UserError, match=r"no layer 'layer5'\. Did you mean 'layer"):
        build_model("pooled", 3, **TINY, attention={"layer5": "sharp"})
    with pytest.raises(ValueError, match="trunk"):
        build_model("pooled", 3, trunk="resnet-50")
    with pytest.raises(ValueError, match="greater than or equal to 32"):
        build_model("pooled", 3, trunk=TINY["trunk"], input_size=(16, 32))


def test_the_generalised_mean_lies_between_mean_and_maximum() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]])
    assert GeneralisedMean(3)(features).item() == pytest.approx((36 / 4) ** (1 / 3), rel=1e-5)
    positive = features.abs()
    assert GeneralisedMean(1)(positive).item() == pytest.approx(2.5)
    assert GeneralisedMean(60)(positive).item() == pytest.approx(4, rel=0.03)
