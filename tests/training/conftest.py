"""Data for the training room's tests."""

from pathlib import Path

import pytest
from tiny import make_crops


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """42 crops of 7 persons to train on, 18 of 3 others to test on."""
    return make_crops(tmp_path_factory.mktemp("tiny"), test_persons=3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
