"""A service over a small gallery."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import DESKTOP, SECONDS, Open, Visit, chromium, listening
from service_fakes import Make, Running, crops, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Return a browser."""
    with chromium() as started:
        yield started


@pytest.fixture
def visit(make: Make, browser: "Browser") -> Iterator[Open]:
    """Open the page of a new service; at the end nothing may have gone wrong or elsewhere."""
    from playwright.sync_api import expect

    with ExitStack() as stack:
        visits: list[Visit] = []

        def opened(device: dict[str, Any] = DESKTOP, calibrated: bool = False, **options: Any) -> Visit:
            running = make(**({"people": crops(labelled=True)} if calibrated else {}), **options)
            if calibrated:
                running.gallery.calibrate(false_match_rate=0.05)
                running.gallery.label([crop.id for crop in running.gallery.page(top=1000)[0]], None)
            address = stack.enter_context(listening(running.app))
            context = browser.new_context(**device)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(1000 * SECONDS)
            one = Visit(page, running, address)
            one.listen()
            visits.append(one)
            one.page.goto(address)
            if running.tokens is None:
                expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
                expect(page.locator("#results h1, #results .empty")).not_to_have_count(0)
            return one

        yield opened
        for one in visits:
            assert one.troubles == []
