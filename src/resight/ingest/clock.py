"""The times of a video's frames, mended where they cannot be meant."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

RESTART = 0.5
"""A time that goes back by more seconds than this means that the recording's clock begins anew."""

GAP = 10.0
"""Seconds between two frames from which on a gap is reported."""

_NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS


def has_times(container: "InputContainer") -> bool:
    """Return whether the frames of a format have times: not those of raw streams and pictures."""
    return not (container.format.flags & _NO_TIMES or container.format.name.endswith("_pipe"))


def rate_of(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the frames per second by a stream's header, or None."""
    if has_times(container):
        rate = stream.average_rate or stream.guessed_rate
    else:  # for raw streams, FFmpeg's average is 25 whatever the header says
        rate = stream.codec_context.framerate
    return float(rate) if rate else None


def count_packets(container: "InputContainer", stream: "VideoStream") -> int:
    """Return the number of packets that can be read, without decoding them."""
    import av

    count = 0
    try:
        for packet in container.demux(stream):
            count += packet.size > 0
    except (av.error.FFmpegError, OSError):
        pass  # the file is damaged or cut off here
    return count


class Clock:
    """Gives frames their times; none comes before the frame before it.

    Frames of raw streams follow each other at the given rate. AVI files have only the times of decoding,
    which are in order, but late by the decoder's delay. Where the clock of a recording begins anew, as in
    joined files, time continues.

    Args:
        container, stream: open.
        rate: frames per second.

    Attributes:
        restarts: seconds after which the clock began anew.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream", rate: float) -> None:
        self._raw, self._step = not has_times(container), 1 / rate
        self._by_decoding = container.format.name == "avi"
        self._delayed = self._by_decoding and bool(stream.codec_context.has_b_frames)
        self._unit = float(stream.time_base or 0)
        self._origin = None if self._delayed else stream.start_time or 0
        self._shift, self._last, self._shown = 0.0, -1.0, 0
        self.restarts: list[float] = []
        self._mended: list[int] = []
        self._untimed = self._disordered = 0
        self._gaps: list[float] = []

    def time(self, index: int, picture: "VideoFrame") -> tuple[float, int | None]:
        """Return a frame's seconds after the start, and its timestamp if the frame can be found by it again.

        Args:
            index: number of the frame.
            picture: the frames in order.
        """
        if self._raw:
            self._last = index * self._step
            return self._last, None
        stamp = self.stamp(picture)
        self._disordered += self._delayed and (picture.pts or 0) < self._shown
        self._shown = picture.pts or 0
        seconds = self._last + self._step if self._last >= 0 else 0.0
        if stamp is not None:
            self._origin = stamp if self._origin is None else self._origin
            seconds = max(0.0, (stamp - self._origin) * self._unit + self._shift)
        elif not self._delayed:  # the last frames of a decoder have no time of decoding
            self._untimed += 1
        if self._last - seconds > RESTART:
            self.restarts.append(self._last)
            self._shift += self._last + self._step - seconds
            seconds = self._last + self._step
        elif seconds <= self._last:
            self._mended.append(index)
            seconds, stamp = self._last + self._step / 10, None
        elif self._last >= 0 and seconds - self._last > GAP:
            self._gaps.append(seconds - self._last)
        self._last = seconds
        return seconds, None if self._shift or self._delayed else stamp

    def stamp(self, picture: "VideoFrame") -> int | None:
        """Return a frame's own timestamp, in units of its stream."""
        return picture.dts if self._by_decoding else picture.pts

    def notes(self) -> list[str]:
        """Return what was mended, and the gaps."""
        notes = []
        if self.restarts:
            notes.append(
                f"The clock of the recording begins anew {_times(len(self.restarts))}, first after "
                f"{self.restarts[0]:.1f} s, as in joined files. Time continues there: a guess."
            )
        if self._mended:
            notes.append(
                f"{len(self._mended):,} frames have times that go back or repeat, first frame "
                f"{self._mended[0]}: they were put right after the frame before."
            )
        if self._disordered:
            notes.append(
                f"{self._disordered:,} frames have times that go back: the times of decoding, which are in "
                "order, were used."
            )
        if self._untimed:
            notes.append(f"{self._untimed:,} frames have no time: they follow the frame before them.")
        if self._gaps:
            notes.append(
                f"Gaps between frames of more than {GAP:.0f} s: {len(self._gaps):,}, the longest of "
                f"{max(self._gaps):,.0f} s."
            )
        return notes


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
