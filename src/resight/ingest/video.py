"""Recorded videos, local or on a web server, decoded by PyAV."""

import errno
import math
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import tzinfo
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from resight.errors import UserError
from resight.ingest.background import read_ahead, wait_for
from resight.ingest.clock import Clock, count_packets, has_times, rate_of
from resight.ingest.display import Display, stretch_of
from resight.ingest.frames import DEFAULT_RATE, Frame, Position, SourceLost
from resight.ingest.times import start_of
from resight.left_out import LeftOut

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

INSTALL = "pip install 'resight[video]'"
TIMEOUT = 10.0
"""Seconds to wait for a server: for the connection, for the stream's header, and for each piece of data."""

_OVER_TCP = {"rtsp_transport": "tcp"}  # with UDP, lost packets corrupt pictures
_RESUMED = {"reconnect": "1", "reconnect_streamed": "1", "reconnect_delay_max": "30"}
OPTIONS = {"rtsp": _OVER_TCP, "rtsps": _OVER_TCP, "http": _RESUMED, "https": _RESUMED}
"""FFmpeg's options for addresses, by scheme."""

WITHOUT_INDEX = ("mpegts", "mpeg")
"""FFmpeg's names of formats whose duration is known only after reading them: files may have been joined."""


@dataclass(frozen=True)
class VideoInfo:
    """A video's header.

    Attributes:
        duration: in seconds; None for a live stream.
        frames: declared number of frames, or 0.
        rate: frames per second.
        created: ``creation_time`` of the metadata.
        aspect: sample aspect ratio, or None.
        timed: whether frames have times; False for a raw stream, such as ``.h264``.
        rated: whether ``rate`` is known; False if it is a guess.
    """

    duration: float | None
    frames: int
    rate: float
    created: str | None
    aspect: Fraction | None = None
    timed: bool = True
    rated: bool = True


def probe(place: str, name: str, timeout: float) -> VideoInfo:
    """Open a video, or an address, and return its header.

    Raises:
        UserError: PyAV is not installed, the video cannot be read, or the server does not answer.
    """
    if not is_address(place):
        return _info(place, name, timeout)
    try:
        return wait_for(lambda: _info(place, name, timeout), 2 * timeout + 1)  # connection and header
    except TimeoutError as error:
        raise UserError(unreachable(name, error)) from error


def _info(place: str, name: str, timeout: float) -> VideoInfo:
    with _opened(place, name, timeout) as (container, stream):
        rate, timed = rate_of(container, stream), has_times(container)
        duration = None if container.duration is None else container.duration / 1e6
        known = VideoInfo(
            duration,
            stream.frames,
            rate or DEFAULT_RATE,
            container.metadata.get("creation_time") or stream.metadata.get("creation_time"),
            stream.sample_aspect_ratio,
            timed,
            timed or rate is not None,
        )
        if is_address(place) or (timed and container.format.name not in WITHOUT_INDEX):
            return known
        return replace(known, duration=max(duration or 0.0, count_packets(container, stream) / known.rate))


class Video:
    """A recorded video.

    Args:
        place: path or web address.
        name: in the gallery.
        info: its header.
        start: seconds since 1970 of the first frame; by default from its name, metadata or the file system.
        timeout: seconds to wait for a server.
        zone: of a name without one; None: the default zone.

    Raises:
        UserError: its start time is not known.
    """

    live = False

    def __init__(
        self,
        place: str,
        name: str,
        info: VideoInfo,
        start: float | None = None,
        timeout: float = TIMEOUT,
        zone: tzinfo | None = None,
    ) -> None:
        self.name, self._place, self._timeout, self._info = name, place, timeout, info
        self.notes: list[str] = []
        self.left_out = LeftOut()
        self.stretch = stretch_of(info.aspect)
        self._remote = is_address(place)
        self.total: int | None = info.frames or round((info.duration or 0) * info.rate) or None
        self.identity: dict[str, Any] = {"frames": self.total}
        path, changed = unquote(urlsplit(place).path) if self._remote else Path(name).as_posix(), None
        if not self._remote:
            known = Path(place).stat()
            self.identity = {"bytes": known.st_size, "changed": known.st_mtime_ns}
            changed = known.st_mtime - (info.duration or 0.0)  # it was last written at its end
        if not info.timed:
            self.identity["fps"] = info.rate
        if not info.rated:
            self.notes.append(f"The file gives no frame rate: {info.rate:g} is a guess. Give --fps.")
        self.start = start_of(path, start, info.created, changed, zone)
        self.sure_until = math.inf if self.start.sure and info.rated else -math.inf

    def frames(self, every: int, after: Position | None = None) -> Iterator[Frame | None]:
        """See ``FrameSource``; a truncated file ends early, with a note."""
        given = after is not None
        decoded = self._decoded(every, after)
        for frame in read_ahead(decoded) if self._remote else decoded:
            given = given or frame is not None
            yield frame
        if not given:
            raise UserError(
                f"{self.name} has a video stream, but no frame can be decoded. {' '.join(self.notes)}"
            )

    def _decoded(self, every: int, after: Position | None) -> Generator[Frame]:
        with _opened(self._place, self.name, self._timeout) as (container, stream):
            clock, display = Clock(container, stream, self._info.rate), Display(self._info.aspect)
            index = self._seek(container, stream, clock, display, after)
            damaged, seconds = 0, 0.0
            for picture in self._pictures(container, stream):
                if picture is None:
                    damaged += 1
                    if after is None or index > after["index"]:
                        self.left_out.add("a damaged packet of the video", f"before frame {index}")
                    continue
                seconds, stamp = clock.time(index, picture)
                if clock.restarts:
                    self.sure_until = min(self.sure_until, self.start.seconds + clock.restarts[0])
                if index % every == 0 and (after is None or index > after["index"]):
                    yield Frame(index, self.start.seconds + seconds, display(picture), stamp)
                index += 1
        self._add_notes(damaged, index, seconds)
        self.notes += [*display.notes(), *clock.notes()]

    def _pictures(self, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame | None"]:
        """Yield the frames in order; None for a packet that cannot be decoded."""
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError) as error:
                if self._remote:
                    raise SourceLost(
                        f"Lost the connection to {self.name}: {reason(error)}. What was found so far is "
                        "kept. Run the command again to resume."
                    ) from error
                self.notes.append(f"The rest of the video cannot be read: {reason(error)}.")
                return
            try:
                yield from packet.decode()
            except (av.error.FFmpegError, OSError):
                yield None

    def _seek(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        clock: Clock,
        display: Display,
        after: Position | None,
    ) -> int:
        """Seek to a position with the container's index, and return the number of the next frame.

        Seeking may be inexact, so the frame found must equal the one at that position in every pixel.
        Otherwise the result is 0, and the next frame is the first.
        """
        import av

        if after is None or after["stamp"] is None:
            return 0
        try:
            container.seek(after["stamp"], stream=stream)
            for picture in container.decode(stream):
                stamp = clock.stamp(picture)
                if stamp is None or stamp > after["stamp"]:
                    break
                if stamp == after["stamp"]:
                    found = Frame(after["index"], 0.0, display(picture), stamp)
                    if found.position() == after:
                        clock.time(after["index"], picture)
                        return int(after["index"]) + 1
        except (av.error.FFmpegError, OSError):
            pass  # some containers cannot seek; reading from the start always works
        container.seek(0)
        return 0

    def _add_notes(self, damaged: int, frames: int, seconds: float) -> None:
        if damaged:
            self.notes.append(f"{damaged} damaged packets could not be decoded and were left out.")
        declared, duration = self._info.frames, self._info.duration
        if frames < 0.95 * declared - 5:
            self.notes.append(f"The video ends after {frames} of {declared} frames: it is truncated.")
        elif duration is not None and seconds < 0.95 * duration - 2:
            self.notes.append(f"The video ends after {seconds:.0f} of {duration:.0f} s: it is truncated.")


@contextmanager
def _opened(place: str, name: str, timeout: float) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    try:
        import av
    except ImportError:
        raise UserError(f"Videos need PyAV, which is not installed: {INSTALL}") from None
    remote, begin = is_address(place), time.monotonic()
    try:
        container = open_container(place, OPTIONS.get(urlsplit(place).scheme, {}) if remote else {}, timeout)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if remote:
            late = time.monotonic() - begin > 0.9 * timeout  # FFmpeg then gives various reasons
            raise UserError(unreachable(name, TimeoutError() if late else error)) from error
        raise UserError(
            f"{name} cannot be read as a video: {reason(error)}. It may be truncated: an MP4 file has "
            "its index at the end."
        ) from error
    with container:
        video = container.streams.video
        if remote and time.monotonic() - begin > 0.9 * timeout and not (video and video[0].width):
            raise UserError(unreachable(name, TimeoutError()))  # declared, but never sent
        if not video:
            raise UserError(f"{name} has no video stream, only sound or subtitles.")
        stream = video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def open_container(place: str, options: dict[str, str], timeout: float) -> "InputContainer":
    """Open a video by PyAV, whatever the name of the file and the encoding of its title."""
    import av

    url = place if is_address(place) else f"file:{place}"  # FFmpeg takes what precedes a colon for a protocol
    return av.open(url, options=options, timeout=timeout, metadata_errors="replace")


def is_address(place: str) -> bool:
    """Return whether a place is an address such as ``rtsp://camera/stream`` instead of a path."""
    return "://" in place


def without_password(address: str) -> str:
    """Return an address without user name and password, for messages and galleries."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def reason(error: Exception) -> str:
    """Return FFmpeg's reason for an error, without the address, which may contain a password."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    late = isinstance(error, TimeoutError) or "exit requested" in text.lower()
    return "no answer in time" if late else text.rstrip(".")


def unreachable(name: str, error: Exception) -> str:
    """Return the message for an address that cannot be opened."""
    why, host = reason(error), urlsplit(name).hostname
    if getattr(error, "errno", None) == errno.EIO and not _is_known(host):  # FFmpeg gives no better reason
        why = f"the name {host} cannot be resolved"
    return (
        f"{name} cannot be opened: {why}. Check the address, port, user and password, and that the camera or "
        "server is on and can be reached from this machine."
    )


def _is_known(host: str | None) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except socket.gaierror:
        return False
