"""A service over a small gallery."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_fakes import Make, Running, crops, run


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make services; they are closed at the end."""
    made: list[Running] = []

    def making(**options: Any) -> Running:
        made.append(run(tmp_path / str(len(made)), **{"people": crops(), **options}))
        return made[-1]

    yield making
    for one in made:
        one.gallery.close()
        one.service.audit.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service that tests only look at."""
    one = run(tmp_path_factory.mktemp("shared"), people=crops())
    yield one
    one.gallery.close()
    one.service.audit.close()


@pytest.fixture
def running(make: Make) -> Running:
    """Return a service over six people before three cameras, to change."""
    return make()
