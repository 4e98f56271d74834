"""Data for the training room's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import make_crops


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """42 crops of 7 persons to train on, 18 of 3 others to test on."""
    return make_crops(tmp_path_factory.mktemp("tiny"), test_persons=3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Compute as ``tiny.py`` does: another number of threads sums in another order, to other bits.

    For a module at once, so that what its tests share was computed so too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
