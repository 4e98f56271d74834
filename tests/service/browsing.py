"""A service on a port of this machine, and a Chromium that looks at it."""

import base64
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from service_fakes import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SECONDS = 20
"""That the page may take for anything: the machine may be busy."""

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
DARK: dict[str, Any] = DESKTOP | {"color_scheme": "dark"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2,
}  # fmt: skip

GIVE = """([kind, name, contents]) => {
  const bytes = Uint8Array.from(atob(contents), (letter) => letter.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  if (kind === "paste") document.dispatchEvent(new ClipboardEvent(kind, { clipboardData: data }));
  else for (const one of ["dragenter", "dragover", kind])
    document.body.dispatchEvent(new DragEvent(one, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start Debian's Chromium; without it, or without playwright, skip the test and say what to install."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("No Chromium is installed to drive the page with: sudo apt-get install chromium")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed to drive the page with: pip install playwright")
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Answer at a free port of this machine; yields the address."""
    import uvicorn

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


@dataclass
class Visit:
    """Somebody at the page.

    Attributes:
        page: the browser's tab.
        running: the service.
        address: of the service.
        troubles: what the console said, and requests that went elsewhere.
    """

    page: "Page"
    running: Running
    address: str
    troubles: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note everything that should not be."""
        own = (self.address, "blob:", "data:")
        self.page.on(
            "console", lambda said: self.troubles.append(said.text) if said.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on(
            "request", lambda made: None if made.url.startswith(own) else self.troubles.append(made.url)
        )

    def answered(self, act: Callable[[], object]) -> None:
        """Do something that searches, and wait until what was found is shown."""
        from playwright.sync_api import expect

        with self.page.expect_response("**/search"):
            act()
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")

    def give(self, *pictures: bytes) -> None:
        """Choose pictures from the disk."""
        files = [
            {"name": f"{number}.png", "mimeType": "image/png", "buffer": picture}
            for number, picture in enumerate(pictures)
        ]
        self.answered(lambda: self.page.set_input_files("#pictures", files))  # type: ignore[arg-type]

    def hand(self, kind: str, picture: bytes) -> None:
        """Paste or drop a picture."""
        said = [kind, "x.png", base64.b64encode(picture).decode()]
        self.answered(lambda: self.page.evaluate(GIVE, said))

    def click(self, selector: str) -> None:
        """Click on something that searches."""
        self.answered(self.page.locator(selector).click)

    @property
    def cards(self) -> "Locator":
        """The crops that are shown."""
        return self.page.locator("#results .card")

    def card(self, place: int) -> "Locator":
        """The crop at a place, counted from 0."""
        return self.cards.nth(place)

    def ids(self) -> list[str]:
        """Ids of the crops that are shown, in order."""
        found: list[str] = self.page.eval_on_selector_all(
            "#results .card", "cards => cards.map(card => card.dataset.id)"
        )
        return found

    def names(self) -> list[str]:
        """What these are called: person, camera and number."""
        return [self.running.name(identity) for identity in self.ids()]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wider


Open = Callable[..., Visit]
"""Opens the page of a new service."""
