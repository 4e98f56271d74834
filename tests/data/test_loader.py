"""The loader: the right crops, the same draws at every start, and a thread that ends."""

import runpy
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from resight.data.augment import AUGMENTATIONS
from resight.data.loader import Batch, Loader
from resight.data.samplers import SAMPLERS

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 16, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Whatever a test does, the loader's thread has ended after it."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")] == []


def make_loader(pixels: np.ndarray, *names: str, device: str = "cpu", seed: int = 3) -> Loader:
    classes = np.arange(len(pixels), dtype=np.int64) // 5
    sampler = SAMPLERS.build("random", classes, seed, batch_size=8)
    augmentations = [AUGMENTATIONS.build(name) for name in names]
    return Loader(pixels, classes, sampler, augmentations, torch.device(device), seed)


def test_crops_are_cut_by_the_aspect_of_the_picture_that_each_is_of(pixels: np.ndarray) -> None:
    """Of pictures of 2:1 all may be taken, of pictures of 10:1 nothing that is so high fits but the whole."""
    aspects = np.where(np.arange(50) % 2, 10, 2).astype(np.float32)
    sampler = SAMPLERS.build("random", np.zeros(50, dtype=np.int64), 0, batch_size=50)
    cut = AUGMENTATIONS.build("random-resized-crop", area=(0.4, 0.6), aspect=(2, 3))
    (batch,) = Loader(pixels, np.zeros(50, dtype=np.int64), sampler, [cut], CPU, 0, aspects).epoch(0)
    whole = torch.from_numpy(pixels)[batch.items].permute(0, 3, 1, 2)
    same = (batch.images == whole).flatten(1).all(1)
    assert torch.equal(same, batch.items % 2 == 1)


@pytest.mark.parametrize("device", DEVICES)
def test_batches_are_the_crops_the_sampler_chose(pixels: np.ndarray, device: str) -> None:
    loader = make_loader(pixels, device=device)
    batches = list(loader.epoch(1))
    assert len(batches) == len(loader) == 7
    for batch, indices in zip(batches, loader.sampler.batches(1), strict=True):
        assert batch.items.tolist() == indices.tolist()
        assert batch.persons.tolist() == (indices // 5).tolist()
        assert batch.persons.dtype == torch.int64
        assert (batch.images.device.type, batch.persons.device.type, batch.items.device.type) == (
            device,
            device,
            "cpu",
        )
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).cpu(), pixels[indices])


@pytest.mark.parametrize("device", DEVICES)
def test_an_epoch_continues_at_any_step(pixels: np.ndarray, device: str) -> None:
    names = [name for name in AUGMENTATIONS.names() if name != "downscale"]  # which needs a size
    whole = list(make_loader(pixels, *names, device=device).epoch(4))
    for start in (0, 3, 7):
        rest = list(make_loader(pixels, *names, device=device).epoch(4, start=start))
        assert len(rest) == 7 - start
        for batch, expected in zip(rest, whole[start:], strict=True):
            assert torch.equal(batch.images, expected.images)
            assert torch.equal(batch.items, expected.items)


def test_augmentation_differs_between_steps_epochs_and_seeds(pixels: np.ndarray) -> None:
    same = np.repeat(pixels[:1], 48, axis=0)

    def epoch(number: int, seed: int = 3) -> list[Batch]:
        return list(make_loader(same, "pad-and-crop", seed=seed).epoch(number))

    first = epoch(0)
    assert not torch.equal(first[0].images, first[1].images)
    assert not torch.equal(first[0].images, epoch(1)[0].images)
    assert not torch.equal(first[0].images, epoch(0, seed=4)[0].images)


def test_stopping_early_ends_the_thread(pixels: np.ndarray) -> None:
    for step, _ in enumerate(make_loader(pixels).epoch(0)):
        if step == 2:
            break


def test_an_exception_of_the_consumer_ends_the_thread(pixels: np.ndarray) -> None:
    def consume() -> None:
        for _ in make_loader(pixels).epoch(0):
            raise RuntimeError("the consumer's own")

    with pytest.raises(RuntimeError, match="the consumer's own"):
        consume()


def test_an_exception_of_the_thread_reaches_the_consumer(pixels: np.ndarray) -> None:
    calls = []

    def broken(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("augmentation failed")
        return images

    loader = make_loader(pixels)
    loader.augmentations = (broken,)
    seen = []
    with pytest.raises(ValueError, match="augmentation failed"):
        seen += [batch.items for batch in loader.epoch(0)]
    assert len(calls) <= 5  # the thread did not go on through the epoch


def test_a_few_batches_wait_and_no_more(pixels: np.ndarray) -> None:
    loader = make_loader(np.repeat(pixels, 4, axis=0))
    made = []
    loader.augmentations = (lambda images, _: made.append(1) or images,)
    epoch = loader.epoch(0)
    for step in range(1, 10):
        next(epoch)
        assert len(made) <= step + 2
    epoch.close()


def test_the_loader_computes_on_one_core_and_leaves_other_threads_alone(pixels: np.ndarray) -> None:
    def cores() -> int:
        torch.ones(10**6).sum()  # a thread takes its number at its first computation
        return torch.get_num_threads()

    loader, inside, later = make_loader(pixels), [], []
    loader.augmentations = (lambda images, _: inside.append(cores()) or images,)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        list(loader.epoch(0))
        thread = threading.Thread(target=lambda: later.append(cores()))
        thread.start()
        thread.join()
        assert set(inside) == {1}
        assert (cores(), later) == (3, [3])
    finally:
        torch.set_num_threads(before)


def test_the_benchmark_runs(tmp_path: Path) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "loading.py"))
    rates = script["measure"](tmp_path, 64, (16, 8), 1, "cpu")
    assert "cached" in rates
    assert all(rate > 0 for rate in rates.values())
