"""Opening a source of frames by its path or address."""

from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

from resight.errors import UserError
from resight.folders import IMAGE_SUFFIXES
from resight.ingest.frames import FrameFolder, FrameSource
from resight.ingest.stream import PATIENCE, Stream
from resight.ingest.video import TIMEOUT, Video, is_address, probe, without_password
from resight.names import readable


def open_source(
    place: str,
    *,
    start: float | None = None,
    rate: float | None = None,
    limit: float | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    zone: tzinfo | None = None,
) -> FrameSource:
    """Open a video file, a folder of frames, or an address.

    An address with a duration (a file on a web server, a recorder's recording) is a video; one without is a
    live camera.

    Args:
        place: path or address.
        start: seconds since 1970 of the first frame of a recording.
        rate: frames per second of a folder of frames or a raw stream.
        limit, patience: of a camera, see ``Stream``.
        timeout: seconds to wait for a server.
        zone: of times in names without one; None: the default zone.

    Raises:
        UserError: it does not exist, has no frames, or an option does not apply to it.
    """
    if is_address(place):
        name, wait = without_password(place), TIMEOUT if timeout is None else timeout
        _refuse(name, "for folders of frames and raw streams", fps=rate)
        info = probe(place, name, wait)
        if info.duration is not None:
            _refuse(name, "for cameras, and this is a recording", duration=limit, patience=patience)
            return Video(place, name, info, start, wait, zone)
        if start is not None:
            raise UserError(
                f"{name} is live: its frames get the time from this machine's clock. Leave --start out."
            )
        patience = PATIENCE if patience is None else patience
        return Stream(place, name, limit=limit, timeout=wait, patience=patience)
    _refuse(place, "for addresses, and this is a path", duration=limit, timeout=timeout, patience=patience)
    path = Path(place).expanduser()
    if path.is_dir():
        return FrameFolder(path, start, rate, zone)
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
    name = readable(str(path.resolve()))
    info = probe(str(path), name, TIMEOUT)
    if info.timed:
        _refuse(name, "for folders of frames and raw streams; the frames of this video have times", fps=rate)
    elif rate is not None:
        seconds = None if info.duration is None else info.duration * info.rate / rate
        info = replace(info, rate=rate, duration=seconds, rated=True)
    return Video(str(path), name, info, start, zone=zone)


def _refuse(name: str, purpose: str, **options: float | None) -> None:
    """Refuse options that would do nothing."""
    for option, value in options.items():
        if value is not None:
            raise UserError(f"{name}: --{option} is {purpose}. Leave --{option} out.")
