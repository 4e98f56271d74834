"""People of plain colours, a model that sees colours, and a service over a gallery of them."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.persons import Detect
from resight.imaging import Pixels, resize_all
from resight.inference.embedder import SupportsEmbedding
from resight.service.app import create_app
from resight.service.audit import Audit
from resight.service.batching import Batcher
from resight.service.core import Service
from resight.service.guard import Guard
from resight.service.limits import Limits
from resight.service.metrics import Metrics
from resight.service.tokens import Tokens
from resight.service.uploads import UploadReader

HERE = "http://127.0.0.1:8008"
START = datetime(2026, 5, 4, 8, tzinfo=UTC)
CAMERAS = ("lobby", "gate", "stairs")


class Colours:
    """Describes a picture by the colours of eight stripes."""

    fingerprint, name, width, weights, on_cpu = "c" * 32, "colours", 24, None, True
    precision = "float32"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Shrink them to the stripes."""
        return resize_all(pictures, (8, 1))

    def __call__(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return the stripes, centred."""
        self.batches.append(len(pictures))
        return np.stack([picture.reshape(-1).astype(np.float32) - 127.3 for picture in pictures])


def pixels(person: int, number: int = 0, height: int = 64) -> Pixels:
    """Return a crop [H, H/2, 3] of a person: eight colours, and noise that differs by number."""
    colours = np.random.default_rng([person, 1]).integers(20, 236, (8, 1, 3))
    noise = np.random.default_rng([person, number, 2]).normal(0, 10, (height, height // 2, 3))
    return np.clip(colours.repeat(height // 8, 0) + noise, 0, 255).astype(np.uint8)


def encoded(picture: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    """Return pixels as the bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def photo(person: int, number: int = 99) -> bytes:
    """Return a picture of a person that is not in the gallery."""
    return encoded(pixels(person, number))


def crops(persons: int = 6, each: int = 2, labelled: bool = False) -> list[NewCrop]:
    """Return crops: each person passes every camera, an hour apart."""
    return [
        NewCrop(
            pixels(person, 10 * camera + number),
            camera=CAMERAS[camera],
            time=START + timedelta(hours=camera, minutes=person, seconds=number),
            source=f"{CAMERAS[camera]}.mp4",
            name=f"{person}-{camera}-{number}",
            person=f"p{person}" if labelled else None,
        )
        for person in range(persons)
        for camera in range(len(CAMERAS))
        for number in range(each)
    ]


@dataclass
class Running:
    """A service, what is under it, and a client."""

    service: Service
    gallery: Gallery
    app: Guard
    client: TestClient
    model: SupportsEmbedding
    tokens: Tokens | None

    def ids(self, person: int) -> list[str]:
        """Return the crops of a person, by camera."""
        found = [crop for crop in self.gallery.page(top=1000)[0] if crop.name.startswith(f"{person}-")]
        return [crop.id for crop in sorted(found, key=lambda crop: crop.name)]

    def name(self, identity: str) -> str:
        """Return what a crop is called: person, camera and number."""
        return self.gallery.get([identity])[0].name

    def search(self, *pictures: bytes, status: int = 200, **fields: Any) -> Any:
        """Search by the API."""
        files = [("pictures", ("x.png", picture)) for picture in pictures]
        answer = self.client.post("/api/search", files=files or None, data=fields)
        assert answer.status_code == status, answer.text
        return answer.json()


Make = Callable[..., Running]


def run(
    folder: Path,
    *,
    people: Sequence[NewCrop] = (),
    limits: Limits | None = None,
    detect: Detect | None = None,
    tokens: Tokens | None = None,
    model: SupportsEmbedding | None = None,
    network: Any = None,
) -> Running:
    """Make a gallery with these people, and a service over it."""
    limits = limits or Limits()
    metrics = Metrics()
    model = model or Colours()
    batcher = Batcher(model, lambda count, jobs: metrics.batches.observe(count))
    gallery = Gallery.open(folder / "gallery", batcher, create=True)
    gallery.add(people)
    service = Service(
        gallery,
        reader=UploadReader(limits, detect),
        audit=Audit(folder / "gallery" / "service" / "audit.jsonl"),
        metrics=metrics,
        limits=limits,
        zone=UTC,
        network=network,
    )
    app = create_app(service, tokens=tokens)
    return Running(service, gallery, app, TestClient(app, base_url=HERE), model, tokens)
