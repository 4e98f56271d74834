"""The camera statistics of a folder of features, in a file beside them."""

from pathlib import Path

import numpy as np

from resight.data.crop import JUNK
from resight.errors import UserError
from resight.evaluation.cameras import CameraStatistics
from resight.features.folder import FEATURES, read_info
from resight.files import whole_file

FILE = "camera_statistics.npz"
ROWS = 65_536
"""Number of vectors read at a time."""


def write_statistics(folder: Path) -> Path:
    """Write the statistics of a folder's cameras, without junk.

    Args:
        folder: folder written by ``resight embed``, with cameras.

    Returns:
        The file: arrays ``cameras`` [C], ``counts`` [C], ``sums`` float64 [C, D] and the model's
        ``fingerprint``.
    """
    info = read_info(folder)
    assert info is not None
    features, cameras = np.load(folder / FEATURES, mmap_mode="r"), np.load(folder / "cameras.npy")
    persons = folder / "persons.npy"
    kept = np.load(persons) != JUNK if persons.exists() else np.ones(len(cameras), dtype=bool)
    statistics = CameraStatistics(features.shape[1])
    for start in range(0, len(features), ROWS):
        rows = np.flatnonzero(kept[start : start + ROWS]) + start
        statistics.update(features[rows].astype(np.float32), cameras[rows].tolist())
    with whole_file(folder / FILE) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            cameras=np.array(list(statistics.counts), dtype=np.int64),
            counts=np.array(list(statistics.counts.values()), dtype=np.int64),
            sums=np.stack(list(statistics.sums.values())),
            fingerprint=info["fingerprint"],
        )
    return folder / FILE


def read_statistics(path: Path) -> CameraStatistics:
    """Read what ``write_statistics`` wrote; ``path`` is the folder or the file.

    Raises:
        UserError: there are no statistics, or they are damaged.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"There is no file {file}. Make it with: "
            "resight embed RUN --data DATA --out DIR --camera-normalise"
        )
    try:
        with np.load(file, allow_pickle=False) as found:
            cameras, counts, sums = (found[name] for name in ("cameras", "counts", "sums"))
        if sums.ndim != 2 or not len(cameras) == len(counts) == len(sums):
            raise ValueError(f"{len(cameras)} cameras, {len(counts)} counts, sums of the shape {sums.shape}")
    except Exception as error:
        raise UserError(f"{file} has no camera statistics, or is damaged: {error}.") from error
    return CameraStatistics(
        sums.shape[1],
        counts=dict(zip(cameras.tolist(), counts.tolist(), strict=True)),
        sums=dict(zip(cameras.tolist(), sums, strict=True)),
    )
