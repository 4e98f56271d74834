"""Exporting features, labels, pictures and all fields of crops as files in common formats."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from resight.errors import UserError
from resight.files import write_json
from resight.gallery.cameras import CameraMeans
from resight.gallery.crops import Filter, from_payload
from resight.gallery.metadata import Metadata
from resight.gallery.stores.store import Store

GONE = "Crops were forgotten during the export. Run the command again."


def export_crops(
    store: Store,
    metadata: Metadata,
    means: CameraMeans,
    folder: Path,
    where: Filter,
    done: Callable[[int], None] = lambda crops: None,
) -> int:
    """Write the matching crops to a new folder with the vectors as computed; return how many there are.

    The folder has ``features.npy`` float32 [N, D], ``persons.npy`` int64 [N] (0 for unlabelled crops),
    ``cameras.npy`` int64 [N] if the camera of every crop is known, ``names.json`` and ``cameras.json``
    (number -> name), ``crops.jsonl`` (one line per crop with all its fields), ``paths.jsonl``,
    ``pictures/ID.jpg``, and ``info.json``, which is written last. 'resight score' reads it.

    Raises:
        UserError: no crop matches, the folder is not empty, or the disk is full.
    """
    rows = store.count(where)
    if not rows:
        raise UserError("No crop in the gallery matches the filters, so there is nothing to export.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder. Name a new folder to export to.")
    try:
        return _write(store, metadata, means, folder, where, rows, done)
    except OSError as error:
        raise UserError(
            f"Cannot write {folder}: {error.strerror or error}. Free some space or choose another folder, "
            "delete what was written, and run the command again."
        ) from error


def _write(
    store: Store,
    metadata: Metadata,
    means: CameraMeans,
    folder: Path,
    where: Filter,
    rows: int,
    done: Callable[[int], None],
) -> int:
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    width = metadata.model.width
    people: dict[str, int] = {}
    places: dict[str | None, int] = {}
    persons, cameras = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    row = 0
    with (
        (folder / "features.npy").open("wb") as features,
        (folder / "crops.jsonl").open("w", encoding="utf-8") as lines,
        (folder / "paths.jsonl").open("w", encoding="utf-8") as paths,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(features, header)
        for records in store.scan(where, "picture", "vector"):
            for record in means.restored(records):
                if row == rows:
                    raise UserError("Crops were added during the export. Run the command again.")
                crop = from_payload(record.id, record.payload)
                assert record.vector is not None
                if record.picture is None:
                    raise UserError(GONE)
                features.write(record.vector.astype("<f4").tobytes())
                path = pictures / f"{record.id}.jpg"
                path.write_bytes(record.picture)
                lines.write(json.dumps(crop.as_dict(), ensure_ascii=False) + "\n")
                paths.write(json.dumps(f"pictures/{path.name}") + "\n")
                if crop.person is not None:
                    persons[row] = people.setdefault(crop.person, len(people) + 1)
                cameras[row] = places.setdefault(crop.camera, len(places))
                row += 1
            done(len(records))
    if row != rows:
        raise UserError(GONE)
    np.save(folder / "persons.npy", persons)
    if None not in places:
        np.save(folder / "cameras.npy", cameras)
    write_json(folder / "names.json", {str(number): name for name, number in people.items()})
    write_json(folder / "cameras.json", {str(number): name for name, number in places.items()})
    info = {"format": 1, "rows": rows, "dtype": "float32", "source": "gallery", **metadata.model.model_dump()}
    write_json(folder / "info.json", info)
    return rows
