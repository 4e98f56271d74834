"""Embedding many crops into a folder: decoded ahead, embedded in chunks, shared among processes."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resight import __version__
from resight.device import Precision, computes_bfloat16, resolve_device
from resight.errors import UserError
from resight.features.crop_list import CropList
from resight.features.decoder import Decoder
from resight.features.folder import Plan, Storage, read_info
from resight.features.folder_in_progress import FolderInProgress
from resight.features.processes import Processes, own_device, together
from resight.models.embedding import PixelEmbedder
from resight.models.fingerprint import fingerprint
from resight.models.network import Network
from resight.progress import Bar, say

CHUNK = 256
"""Crops that a kill loses at most, of each process; rounded to whole batches."""


def embed_crops(
    network: Network,
    crops: CropList,
    folder: Path,
    *,
    dtype: Storage = "float32",
    branches: Sequence[str] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    precision: Precision = "auto",
    skip_unreadable: bool = False,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Embed crops into a folder, or go on where an earlier process was killed.

    Under torchrun all processes call this alike, with one folder that all of them see; each takes the next
    chunk that nobody has, and process 0 puts the whole together. Rows do not depend on who embedded them.

    Args:
        network: to embed with; it stays as it is.
        crops: to embed.
        folder: new or empty, or begun with the same network, crops and settings.
        dtype: to store features in.
        branches: names of the branches that make the descriptor; all by default.
        batch_size: crops embedded at once.
        device: name, or ``auto``; of several processes on a machine each takes a GPU of its own.
        precision: of the forward passes.
        skip_unreadable: leave unreadable images out.
        weights: run or file that the network was loaded from, to note it.

    Returns:
        What ``info.json`` of the folder says (see ``gallery.feature_folder``).

    Raises:
        UserError: an image is unreadable, the model has no such branch, the folder is another's or of other
            settings, the disk is full. What is finished stays.
    """
    if batch_size < 1:
        raise UserError(f"A batch has one crop or more; got --batch {batch_size}.")
    target = own_device(resolve_device(device))
    embedder = PixelEmbedder(network, device=target, precision=precision, branches=branches)
    bfloat16 = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(target))
    plan = Plan(
        model=network.name,
        fingerprint=fingerprint(network, branches),
        views=network.views,
        branches=None if branches is None else tuple(branches),
        dtype=dtype,
        precision="bfloat16" if bfloat16 else "float32",
        batch=batch_size,
        chunk=batch_size * max(1, CHUNK // batch_size),
        width=embedder(torch.zeros(1, *network.picture_size, 3, dtype=torch.uint8)).shape[1],
        crops=len(crops.paths),
        data=crops.digest(),
        source=str(crops.source.absolute()),
        part=crops.part,
    )
    with together() as processes, closing(FolderInProgress(folder, plan)) as progress:
        todo = progress.begin(skip_unreadable=skip_unreadable) if processes.rank == 0 else None
        first, todo = processes.describe((plan, todo))
        if found := plan.differences(first):
            raise UserError(
                f"Process {processes.rank} differs from process 0: {'; '.join(found)}. All processes need "
                "the same model, data and options."
            )
        if todo is None:
            if processes.rank == 0:
                say(f"{folder} is whole already: there is nothing left to embed.")
        else:
            decoder = Decoder(crops.paths, network.picture_size, target, plan, skip_unreadable)
            _embed_chunks(embedder, decoder, progress, todo, processes)
            processes.wait()
            if processes.rank == 0:
                facts = {
                    "weights": None if weights is None else str(weights.absolute()),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "versions": {"resight": __version__, "torch": torch.__version__, "numpy": np.__version__},
                }
                items = np.array([_item(path) for path in crops.paths], dtype=np.int64)
                columns = {"persons": crops.persons, "cameras": crops.cameras, "items": items}
                progress.finish(columns, crops.paths, crops.names, facts)
        processes.describe(None)  # nobody returns before process 0 has finished
    info = read_info(folder)
    assert info is not None
    return info


def _embed_chunks(
    embedder: PixelEmbedder,
    decoder: Decoder,
    progress: FolderInProgress,
    todo: Sequence[int],
    processes: Processes,
) -> None:
    """Embed this process's share of the chunks; each is written while the next is embedded."""

    def claimed() -> Iterator[int]:
        while (turn := processes.add("chunks", 1) - 1) < len(todo):
            yield todo[turn]

    def keep(chunk: int, found: list[Tensor], unreadable: dict[int, str]) -> None:
        empty = np.empty((0, plan.width), np.float32)
        features = np.concatenate([empty, *(part.cpu().numpy() for part in found)])
        progress.keep(chunk, features.astype(plan.dtype, copy=False), unreadable)

    plan = progress.plan
    before = plan.crops - sum(len(plan.rows(chunk)) for chunk in todo)
    shown = Bar("Embedding", plan.crops, before) if processes.rank == 0 and todo else nullcontext()
    found: list[Tensor] = []
    unreadable: dict[int, str] = {}
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, "writer") as writer, shown as bar:
        for batch in decoder.batches(claimed()):
            pixels, left_out = batch.read()
            if len(pixels):
                found.append(embedder(pixels))
            unreadable |= left_out
            if batch.last:
                if writing is not None:
                    writing.result()
                writing = writer.submit(keep, batch.chunk, found, unreadable)
                found, unreadable = [], {}
            done = before + processes.add("crops", len(batch.crops))
            if bar is not None:
                bar.advance(done - bar.done)
        if writing is not None:
            writing.result()


def _item(path: Path) -> int:
    """Return a number that tells a crop from others, in this folder and in others: of its path."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "little") >> 1
