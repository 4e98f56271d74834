"""What holds for every network that comes with Resight, in each of its variants."""

import copy
from pathlib import Path

import pytest
import torch
from small import every_variant, pictures, small
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError
from resight.inference.exporting import export_model
from resight.inference.loading import LoadedModel
from resight.models.network import Network
from resight.models.weights import load_weights, save_weights

VARIANTS = every_variant()
ALIKE = ("han-medium", "han-large", "sona-3", "sona-23", "sona-4", "sona-4-global", "sona-4-local")
"""Networks that have the parts of han-small or of sona-2 in other places."""
LONG = (*ALIKE, "sal-cifar", "sona-baseline", "resnet-50")
"""Not in bfloat16, which many processors compute slowly: others have the same parts, or they are wide."""

IMPORTED = ("ha-cnn", "resnet-50-sbs", "vit-b16-clip", "vit-b16-transreid")
"""Networks that test_foreign.py compares with other toolkits', or whose parts another network has."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, id=one[1], marks=[pytest.mark.slow] if one[1] in (*ALIKE, *IMPORTED) else [])
        for one in VARIANTS
    ],
)
def model(request: pytest.FixtureRequest) -> Network:
    """One network for all tests, in evaluation mode: a test that changes it takes a copy."""
    torch.manual_seed(0)
    return small(*request.param).eval()


class Embedder(nn.Module):
    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.embed(images)


def assert_close(found: Tensor, expected: Tensor) -> None:
    """Compare descriptors; raw ones may be long, and round by as much more."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=max(1e-5, 3e-5 * float(expected.abs().max())))


def test_evaluation_is_deterministic_and_sees_each_crop_alone(model: Network) -> None:
    images = pictures(model.picture_size, 3)
    with torch.inference_mode():
        together = model.embed(images)
        assert torch.equal(together, model.embed(images))
        assert_close(model.embed(images[1:2]), together[1:2])
    assert not torch.allclose(together[0], together[1], atol=0.01)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_traced_it_embeds_the_same(model: Network) -> None:
    embedder, other = Embedder(model), pictures(model.picture_size)
    with torch.no_grad():
        traced = torch.jit.trace(embedder, pictures(model.picture_size), check_trace=False)
        assert_close(traced(other), embedder(other))


def test_exported_it_embeds_the_same(model: Network) -> None:
    if model.views == "ten-crop":
        model = copy.deepcopy(model)
        model.views = "mirror"  # ten passes instead of two take ten seconds to export, and hold nothing new
    other = pictures(model.picture_size)
    embedder = Embedder(model)
    with torch.no_grad():
        exported = torch.export.export(embedder, (pictures(model.picture_size),)).module()
        assert_close(exported(other), embedder(other))


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(one, id=one[1], marks=[pytest.mark.slow] if one[1] in (*LONG, *IMPORTED) else [])
        for one in VARIANTS
    ],
)
def test_it_trains_and_embeds_in_bfloat16(variant: tuple[str, str]) -> None:
    """On crops of 64x64: on AMX, PyTorch 2.13 computes convolutions of maps of 4x2 wrongly in bfloat16."""
    torch.manual_seed(0)
    model = small(*variant, widest=64).eval()
    images = pictures(model.picture_size, 3)
    with torch.inference_mode():
        exact = model.embed(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = model.embed(images)
    assert low.dtype == torch.float32
    assert not torch.equal(low, exact)
    # A network before training amplifies what bfloat16 rounds off: HAN and MobileNet most.
    assert functional.cosine_similarity(low, exact).mean() > 0.8
    training = copy.deepcopy(model).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = training(pictures(model.input_size, 2))
    losses = []
    for branch in found.branches.values():
        assert branch.embedding.isfinite().all()
        losses.append(branch.embedding.float().square().mean())
        if branch.logits is not None:
            losses.append(functional.cross_entropy(branch.logits.float(), torch.arange(2)))
    torch.stack(losses).sum().backward()
    for name, parameter in training.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_its_weights_file_alone_rebuilds_it(model: Network, tmp_path: Path) -> None:
    images = torch.randint(0, 256, (2, 3, *model.picture_size), dtype=torch.uint8)
    save_weights(model, tmp_path / "weights.safetensors")
    again = load_weights(tmp_path / "weights.safetensors", torch.device("cpu"))
    (tmp_path / "weights.safetensors").unlink()
    assert (again.name, again.settings) == (model.name, model.settings)
    with torch.inference_mode():
        assert torch.equal(again.embed(again.normalise(images)), model.embed(model.normalise(images)))


QUICK = ("han-small", "mobilenet-v3-small", "sona-2")
"""Exported in every run of the tests; the others take a minute together."""


@pytest.mark.parametrize(
    "variant",
    [pytest.param(one, id=one[1], marks=[] if one[1] in QUICK else [pytest.mark.slow]) for one in VARIANTS],
)
def test_it_is_exported_for_other_programs(variant: tuple[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LoadedModel(small(*variant).eval(), variant[1])
    assert export_model(model, tmp_path / "a.onnx").cosine > 0.99999


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    """PyTorch writes HAN in opset 9 without any error, but resizes maps in another way there."""
    model = LoadedModel(small("han", "han-small").eval(), "mine")
    with pytest.raises(UserError, match=r"mine was not exported: in opset 9, ONNX Runtime does not compute"):
        export_model(model, tmp_path / "a.onnx", opset=9)
    assert list(tmp_path.iterdir()) == []
