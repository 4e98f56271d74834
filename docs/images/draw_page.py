"""Draw the pictures of the service's page, service-*.png, of people that ``make demo`` drew.

python docs/images/draw_page.py runs/demo
"""

import io
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image
from sheets import save as save_small

from resight.data.crop import Crop
from resight.data.opening import open_benchmark
from resight.gallery.crops import NewCrop
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model

IMAGES = Path(__file__).parent
sys.path.insert(0, str(IMAGES.parents[1] / "tests" / "service"))  # what drives the page in the tests

from browsing import DARK, DESKTOP, PHONE, SECONDS, Visit, chromium, listening  # noqa: E402
from service_fakes import run  # noqa: E402

MOST = 400_000
"""Bytes of a picture at most."""

NAMES = {1: "entrance", 2: "lobby", 3: "car park", 4: "platform 2"}
QUERY = ("0107", "c1s1")


def passages(crops: list[Crop]) -> list[NewCrop]:
    """Return crops as cameras would have taken them: everybody walks past all four, some minutes apart."""
    walks: dict[int, dict[int, datetime]] = {}
    draw = random.Random(3)
    found = []
    for number, crop in enumerate(crops):
        if crop.person not in walks:
            start = datetime(2026, 5, 4, 8, tzinfo=UTC) + timedelta(minutes=draw.uniform(0, 540))
            order = draw.sample(sorted(NAMES), len(NAMES))
            walks[crop.person] = {
                camera: start + timedelta(minutes=place * draw.uniform(4, 35))
                for place, camera in enumerate(order)
            }
        assert crop.camera is not None
        name = NAMES[crop.camera]
        time = walks[crop.person][crop.camera] + timedelta(seconds=2.4 * (number % 3))
        said = {"camera": name, "time": time, "source": f"{name.replace(' ', '-')}.mp4"}
        found.append(NewCrop(crop.path, name=crop.path.name, person=str(crop.person), **said))
    return found


def save(visit: Visit, name: str) -> None:
    """Keep what the window shows; with a palette only where the file would be too large without."""
    visit.page.mouse.move(0, 0)
    visit.page.wait_for_timeout(500)
    visit.page.evaluate("document.querySelectorAll('.toast').forEach((toast) => toast.remove())")
    path = IMAGES / f"service-{name}.png"
    with Image.open(io.BytesIO(visit.page.screenshot())) as picture:
        picture.convert("RGB").save(path, optimize=True)
        if path.stat().st_size >= MOST:
            save_small(picture, path.name)
    assert path.stat().st_size < MOST


def main(demo: Path, folder: Path) -> None:
    """Serve a gallery of the demo's people, and photograph the page on three devices."""
    model = load_model(demo / "run", device="cpu")
    benchmark = open_benchmark(demo / "synthetic-people")
    everybody = sorted({*benchmark.query, *benchmark.gallery}, key=lambda crop: crop.path)
    people = [crop for crop in everybody if crop.person > 0]
    query = next(crop for crop in people if all(part in crop.path.name for part in QUERY))
    there = run(
        folder,
        people=passages([crop for crop in people if crop != query]),
        model=Embedder(model),
        network=model.network,
    )
    there.gallery.calibrate()
    there.gallery.label([crop.id for crop in there.gallery.page(top=10_000)[0]], None)

    def open_page(device: dict[str, Any]) -> Visit:
        page = browser.new_context(**device).new_page()
        page.set_default_timeout(1000 * SECONDS)
        visit = Visit(page, there, address)
        visit.answered(lambda: page.goto(address))
        visit.give(query.path.read_bytes())
        page.fill("#name", "striped shirt")
        page.wait_for_load_state("networkidle")
        return visit

    with chromium() as browser, listening(there.app) as address:
        desktop = open_page(DESKTOP)
        for place in range(3):
            desktop.card(place).locator("[data-act=same]").click()
        desktop.page.evaluate("window.scrollTo(0, 0)")  # clicks have scrolled to their cards
        save(desktop, "search")
        dark = open_page(DARK)
        dark.card(0).locator("[data-act=details]").click()
        dark.page.wait_for_selector(".views")
        save(dark, "details")
        phone = open_page(PHONE | {"device_scale_factor": 1.5})
        phone.page.locator("#results").evaluate("results => results.scrollIntoView()")
        save(phone, "phone")
        for visit in (desktop, dark, phone):
            visit.page.context.close()
    there.gallery.close()
    there.service.audit.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1]), Path(folder))
