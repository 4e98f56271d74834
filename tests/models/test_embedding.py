"""Embedding crops: the same as the model's own descriptor, batch by batch."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resight.errors import UserError
from resight.models.embedding import PixelEmbedder
from resight.models.network import Network, build_model

CPU = torch.device("cpu")


@pytest.fixture
def model() -> Network:
    return build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 80, 32, 3), dtype=np.uint8)


def test_it_is_the_descriptor_of_the_model(model: Network, pixels: NDArray[np.uint8]) -> None:
    found = PixelEmbedder(model, batch_size=3, device=CPU, precision="float32").embed(pixels)
    assert found.shape == (7, 1024)
    assert found.dtype == torch.float32
    with torch.no_grad():
        images = model.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        expected = model.eval().embed(images)
    assert (found - expected).abs().max() < 1e-5


def test_it_does_not_depend_on_the_batch_size(model: Network, pixels: NDArray[np.uint8]) -> None:
    one = PixelEmbedder(model, batch_size=1, device=CPU, precision="float32").embed(pixels)
    all_of_them = PixelEmbedder(model, batch_size=64, device=CPU, precision="float32").embed(pixels)
    torch.testing.assert_close(one, all_of_them, rtol=0, atol=1e-5)


def test_the_model_keeps_its_mode_and_its_weights(model: Network, pixels: NDArray[np.uint8]) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    PixelEmbedder(model, device=CPU).embed(pixels)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_branches_are_chosen(model: Network, pixels: NDArray[np.uint8]) -> None:
    whole = PixelEmbedder(model, device=CPU, precision="float32").embed(pixels)
    local = PixelEmbedder(model, device=CPU, precision="float32", branches=["local"]).embed(pixels)
    torch.testing.assert_close(local, whole[:, 512:])
    with pytest.raises(UserError, match="no branch 'head'"):
        PixelEmbedder(model, device=CPU, branches=["head"]).embed(pixels)


def test_bfloat16_is_close(model: Network, pixels: NDArray[np.uint8]) -> None:
    low = PixelEmbedder(model, device=CPU, precision="bfloat16").embed(pixels)
    full = PixelEmbedder(model, device=CPU, precision="float32").embed(pixels)
    assert low.dtype == torch.float32
    assert not torch.equal(low, full)
    assert torch.nn.functional.cosine_similarity(low, full).min() > 0.99


def test_read_only_pixels_are_not_written_to(model: Network, pixels: NDArray[np.uint8]) -> None:
    pixels.flags.writeable = False
    assert PixelEmbedder(model, device=CPU).embed(pixels).shape == (7, 1024)


def test_progress_goes_to_standard_error(
    model: Network, pixels: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    PixelEmbedder(model, device=CPU).embed(pixels, title="Looking")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Looking: 7/7" in captured.err
