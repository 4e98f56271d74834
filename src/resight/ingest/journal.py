"""The progress of an ingestion, in a file that is replaced atomically, to resume after a kill."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UserError
from resight.files import short_digest, whole_file
from resight.gallery.crops import NewCrop
from resight.imaging import Pixels
from resight.left_out import LeftOut
from resight.timestamps import from_seconds

FORMAT = 3


@dataclass
class IngestCounts:
    """Counts of an ingestion so far.

    Attributes:
        frames: frames used.
        boxes: boxes found in them.
        tracks: tracks with crops.
        crops: crops of these tracks.
        first, last: times of the first and last frame, in seconds since 1970.
        seconds: time spent.
        left_out: tracks without crops and boxes without a track.
    """

    frames: int = 0
    boxes: int = 0
    tracks: int = 0
    crops: int = 0
    first: float | None = None
    last: float | None = None
    seconds: float = 0.0
    left_out: LeftOut = field(default_factory=LeftOut)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return vars(self) | {"left_out": self.left_out.as_list()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "IngestCounts":
        """Return the counts in data of ``as_dict``."""
        left_out = LeftOut()
        for row in data["left_out"]:
            left_out.add(**row)
        return cls(**dict(data) | {"left_out": left_out})


@dataclass
class Entry:
    """The state of an ingestion.

    Attributes:
        settings: must be equal to resume.
        done: whether the source was read to the end and all crops were added.
        position: of the last frame used.
        tracker: state of the tracker.
        detector: what it found out about itself.
        passages, pictures: state of ``Selection``.
        outbox: crops to add first when resuming; some may already be in the gallery.
        counts: so far.
    """

    settings: dict[str, Any]
    done: bool = False
    position: dict[str, Any] | None = None
    tracker: dict[str, Any] | None = None
    detector: dict[str, Any] | None = None
    passages: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Pixels] = field(default_factory=list)
    outbox: list[NewCrop] = field(default_factory=list)
    counts: IngestCounts = field(default_factory=IngestCounts)


class Journal:
    """The progress file of one source and camera.

    Args:
        folder: for a gallery's journals.
        source, camera: names.
    """

    def __init__(self, folder: Path, source: str, camera: str) -> None:
        self.path = folder / f"{short_digest(chr(0).join((source, camera)).encode())}.npz"

    def read(self) -> Entry | None:
        """Return the last entry, or None if there is none; remove files left by a kill.

        Raises:
            UserError: the file is damaged, or of another version of Resight.
        """
        for unfinished in self.path.parent.glob(f".{self.path.name}.*"):
            unfinished.unlink()
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                head = json.loads(arrays["head"].tobytes())
                if head.pop("format") != FORMAT:
                    raise ValueError("it is of another version of Resight")
                pictures = [arrays[f"picture{number}"] for number in range(head.pop("number"))]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"The progress of this ingestion, {self.path}, cannot be read: {error}. Give --again to "
                "start over."
            ) from error
        outbox = head.pop("outbox")
        split = len(pictures) - len(outbox)
        crops = [_crop(each, pixels) for each, pixels in zip(outbox, pictures[split:], strict=True)]
        counts = IngestCounts.from_dict(head["counts"])
        return Entry(**head | {"pictures": pictures[:split], "outbox": crops, "counts": counts})

    def write(self, entry: Entry) -> None:
        """Replace the entry; on return it is on the disk."""
        pictures: Sequence[Any] = [*entry.pictures, *(crop.picture for crop in entry.outbox)]
        known = vars(entry) | {
            "counts": entry.counts.as_dict(),
            "outbox": [_plain(crop) for crop in entry.outbox],
        }
        del known["pictures"]
        head = json.dumps({"format": FORMAT, "number": len(pictures), **known}).encode()
        arrays = {f"picture{number}": each for number, each in enumerate(pictures)}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it contains pictures of persons
        with whole_file(self.path) as temporary:
            np.savez(temporary, head=np.frombuffer(head, np.uint8), **arrays)

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _plain(crop: NewCrop) -> list[Any]:
    assert crop.time is not None
    time = crop.time.timestamp(), crop.time_guessed
    return [crop.camera, *time, crop.source, crop.name, crop.tags, crop.box]


def _crop(plain: list[Any], pixels: Pixels) -> NewCrop:
    camera, time, guessed, source, name, tags, box = plain
    known = {"tags": tuple(tags), "box": tuple(box), "time_guessed": guessed}
    return NewCrop(pixels, camera, from_seconds(time), source, name, **known)
