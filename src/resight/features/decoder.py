"""Reading crops at the network's size, ahead of it, in threads."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import torch
from torch import Tensor

from resight.data.cache import workers
from resight.errors import UserError
from resight.features.folder import Plan
from resight.image_files import read_file
from resight.imaging import STRETCHED, Pixels, Resizing, decode_file, resize_all
from resight.threads import computing_threads

AHEAD = 2048
"""Crops decoded ahead of a GPU (at least two batches): 200 MB at 256 x 128."""

TURN = 1024
"""Crops decoded before a CPU embeds them (at least a batch): 100 MB at 256 x 128. With 256, embedding was 4 %
slower on two cores."""

READ_AHEAD_BYTES = 4 * 2**20
"""Bytes read ahead for one thread's share of a batch: more than crops need, a photograph or two."""


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """Crops that are being decoded.

    Attributes:
        chunk: of the crops.
        last: whether they are its last.
        crops: their numbers.
        pixels: uint8 [B, H, W, 3], which threads write into.
        pieces: result of each thread for its share: crop -> why it could not be read.
    """

    chunk: int
    last: bool
    crops: range
    pixels: Tensor
    pieces: Sequence[Future[dict[int, str]]]

    def read(self) -> tuple[Tensor, dict[int, str]]:
        """Wait for the threads; return pixels of the readable crops, and why others could not be read."""
        unreadable = {crop: reason for piece in self.pieces for crop, reason in piece.result().items()}
        if not unreadable:
            return self.pixels, unreadable
        return self.pixels[[row for row, crop in enumerate(self.crops) if crop not in unreadable]], unreadable


Reading = tuple[int, range, list[tuple[range, Future[list[bytes | None]]]]]
"""A chunk, some of its crops, and their pieces that are being read."""


class Decoder:
    """Reads crops at the network's size in threads, ahead of the network.

    With a GPU, threads decode while it computes. On a CPU, both need the same cores, and each layer waits for
    the last of its threads: one that shares its core with a decoder delays all. So they take turns, and while
    the network computes, files are only read.

    Args:
        paths: of all crops.
        size: height and width to resize to.
        device: that embeds them.
        plan: of the folder.
        skip_unreadable: leave unreadable images out.
        how: way of resizing.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        size: tuple[int, int],
        device: torch.device,
        plan: Plan,
        skip_unreadable: bool,
        how: Resizing = STRETCHED,
    ) -> None:
        self.paths, self.size, self.plan, self.skip_unreadable = paths, size, plan, skip_unreadable
        self.device, self.how = device, how

    def batches(self, chunks: Iterator[int]) -> Iterator[DecodedBatch]:
        """Yield the batches of each chunk in order; the next chunk is requested when its reading begins.

        Raises:
            UserError: later, by ``DecodedBatch.read``: a crop cannot be read, without ``skip_unreadable``.
        """
        pool = computing_threads(workers(), 1, "decoder")
        reading = (
            (chunk, crops, self._read(pool, crops))
            for chunk in chunks
            for crops in _pieces(self.plan.rows(chunk), self.plan.batch)
        )
        try:
            yield from (
                self._in_turns(pool, reading) if self.device.type == "cpu" else self._beside(pool, reading)
            )
        finally:
            pool.shutdown(cancel_futures=True)

    def _in_turns(self, pool: Executor, reading: Iterator[Reading]) -> Iterator[DecodedBatch]:
        turn = max(1, TURN // self.plan.batch)
        following = list(islice(reading, turn))
        while following:
            batches = [self._decode(pool, *one) for one in following]
            wait([piece for batch in batches for piece in batch.pieces])
            following = list(islice(reading, turn))
            yield from batches

    def _beside(self, pool: Executor, reading: Iterator[Reading]) -> Iterator[DecodedBatch]:
        ahead = max(2, min(2 * workers(), AHEAD // self.plan.batch))
        waiting: deque[DecodedBatch] = deque()
        for one in reading:
            waiting.append(self._decode(pool, *one))
            if len(waiting) > ahead:
                yield waiting.popleft()
        yield from waiting

    def _read(self, pool: Executor, crops: range) -> list[tuple[range, Future[list[bytes | None]]]]:
        each = -(-len(crops) // workers())
        return [(piece, pool.submit(self._contents, piece)) for piece in _pieces(crops, each)]

    def _contents(self, crops: range) -> list[bytes | None]:
        """Read the first ``READ_AHEAD_BYTES`` bytes of files; None or less than a file is read later.

        In the same loop as decoding, two threads would pass the interpreter's lock back and forth while
        reading, and decode no faster than one.
        """
        found: list[bytes | None] = []
        held = 0
        for crop in crops:
            if held > READ_AHEAD_BYTES:
                break
            try:
                data = read_file(self.paths[crop])
            except UserError:
                found.append(None)
            else:
                found.append(data)
                held += len(data)
        return found

    def _decode(
        self,
        pool: Executor,
        chunk: int,
        crops: range,
        read: Sequence[tuple[range, Future[list[bytes | None]]]],
    ) -> DecodedBatch:
        pinned = self.device.type == "cuda"
        pixels = torch.empty(len(crops), *self.size, 3, dtype=torch.uint8, pin_memory=pinned)
        array = pixels.numpy()
        pieces = [
            pool.submit(self._pixels, piece, files, array[piece.start - crops.start :])
            for piece, files in read
        ]
        return DecodedBatch(chunk, crops.stop == self.plan.rows(chunk).stop, crops, pixels, pieces)

    def _pixels(self, crops: range, files: Future[list[bytes | None]], pixels: Pixels) -> dict[int, str]:
        unreadable = {}
        rows = []

        def decoded() -> Iterator[Pixels]:
            for row, (crop, data) in enumerate(zip_longest(crops, files.result())):
                path = self.paths[crop]
                try:
                    picture = decode_file(path, read_file(path) if data is None else data)
                except UserError as error:
                    if not self.skip_unreadable:
                        raise UserError(
                            f"{error} Repair it, or leave it out with --skip-unreadable, and run the command "
                            "again: finished work is kept."
                        ) from error
                    unreadable[crop] = str(error)
                else:
                    rows.append(row)
                    yield picture

        for row, picture in zip(rows, resize_all(decoded(), self.size, self.how), strict=True):
            pixels[row] = picture
        return unreadable


def _pieces(rows: range, each: int) -> Iterator[range]:
    return (rows[first : first + each] for first in range(0, len(rows), each))
