"""Decoding crops in threads, ahead of the network, and resizing them for it."""

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
"""Most decoded crops that wait for a GPU (at least two batches): 200 MB at 256 x 128."""

TURN = 1024
"""Crops to decode before a CPU embeds them (at least one batch): 100 MB at 256 x 128. With 256, two cores
embedded 4 % fewer crops per second."""

READ_AHEAD_BYTES = 4 * 2**20
"""Bytes of files to read ahead for a thread's share of a batch: enough for crops, one or two photographs."""


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch that is being decoded.

    Attributes:
        chunk: number of its chunk.
        last: whether it is the last batch of the chunk.
        crops: numbers of the crops.
        pixels: uint8 [B, H, W, 3], written by threads.
        pieces: result of each thread for its share: crop -> why it could not be read.
    """

    chunk: int
    last: bool
    crops: range
    pixels: Tensor
    pieces: Sequence[Future[dict[int, str]]]

    def read(self) -> tuple[Tensor, dict[int, str]]:
        """Wait for the threads; return the pixels of readable crops, and the errors of unreadable ones."""
        unreadable = {crop: reason for piece in self.pieces for crop, reason in piece.result().items()}
        if not unreadable:
            return self.pixels, unreadable
        return self.pixels[[row for row, crop in enumerate(self.crops) if crop not in unreadable]], unreadable


Reading = tuple[int, range, list[tuple[range, Future[list[bytes | None]]]]]
"""A chunk, crops of it, and their files in pieces that are being read."""


class Decoder:
    """Decodes and resizes crops in threads, ahead of the network.

    Threads decode while a GPU computes. On a CPU both need the same cores, and each layer waits for its
    slowest thread, so decoding would slow the whole network down: there they take turns, and while the
    network computes, files are only read.

    Args:
        paths: of all crops.
        size: height and width to resize to.
        device: of the network.
        plan: of the folder.
        skip_unreadable: leave out unreadable images.
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
        """Yield the batches of each chunk in order; ``chunks`` is consumed as files are read.

        An unreadable crop that is not left out is a ``UserError`` of ``DecodedBatch.read``.
        """
        pool = computing_threads(workers(), 1, "decoder")
        reading = (
            (chunk, crops, self._read(pool, crops))
            for chunk in chunks
            for crops in _pieces(self.plan.rows(chunk), self.plan.batch)
        )
        try:
            yield from (
                self._in_turns(pool, reading)
                if self.device.type == "cpu"
                else self._concurrently(pool, reading)
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

    def _concurrently(self, pool: Executor, reading: Iterator[Reading]) -> Iterator[DecodedBatch]:
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
        """Read about ``READ_AHEAD_BYTES`` bytes of files; None, or a missing entry, means to read the file
        later.

        If reading and decoding shared a loop, two threads would contend for the interpreter lock at each step
        of reading a file, and decode no faster than one.
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
                            f"{error} Repair it, or leave it out with --skip-unreadable. Then run the "
                            "command again to resume."
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
