"""Opening a source of frames by its path or address."""

from pathlib import Path

from resight.errors import UserError
from resight.folders import IMAGE_SUFFIXES
from resight.ingest.frames import FrameFolder, FrameSource
from resight.ingest.stream import PATIENCE, Stream
from resight.ingest.video import TIMEOUT, Video, is_address, probe, without_password


def open_source(
    place: str,
    *,
    start: float | None = None,
    rate: float | None = None,
    limit: float | None = None,
    timeout: float = TIMEOUT,
    patience: float = PATIENCE,
) -> FrameSource:
    """Open a video file, a folder of frames, or an address.

    An address with a duration (a file on a web server, a recorder's recording) is a video; one without is a
    live camera.

    Args:
        place: path or address.
        start: seconds since 1970 of the first frame of a recording.
        rate: frames per second of a folder of frames.
        limit, timeout, patience: of a camera, see ``Stream``.

    Raises:
        UserError: it does not exist, has no frames, or an option does not apply to it.
    """
    if is_address(place):
        name = without_password(place)
        info = probe(place, name, timeout)
        if info.duration is not None:
            return Video(place, name, info, start, timeout)
        if start is not None:
            raise UserError(
                f"{name} is live: its frames get the time from this machine's clock. Leave --start out."
            )
        return Stream(place, name, limit=limit, timeout=timeout, patience=patience)
    path = Path(place).expanduser()
    if path.is_dir():
        return FrameFolder(path, start, rate)
    if not path.exists():
        raise UserError(
            f"{place} does not exist. A video, a folder of frames, or an address (rtsp://...) is expected."
        )
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(
            f"{place} is a picture. Give a folder of frames, or add pictures with 'resight gallery add'."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{place} is empty (0 bytes).")
    name = str(path.resolve())
    return Video(str(path), name, probe(str(path), name, timeout), start, timeout)
