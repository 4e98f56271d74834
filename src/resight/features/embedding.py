"""Embedding many crops into a folder, in chunks, by one or several processes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resight import __version__
from resight.errors import UserError
from resight.features.crop_list import CropList
from resight.features.decoder import Decoder
from resight.features.folder import Plan, Storage, read_info
from resight.features.folder_in_progress import FolderInProgress
from resight.inference.by_camera import CameraEmbedder
from resight.inference.embedder import Embedder, refuse_unusable
from resight.inference.runtimes.choice import Choice
from resight.processes import Processes, together
from resight.progress import Bar, say

CHUNK = 256
"""Most crops of each process that are lost in a kill; rounded to whole batches."""


def embed_crops(
    embedder: Embedder,
    crops: CropList,
    folder: Path,
    *,
    dtype: Storage = "float32",
    skip_unreadable: bool = False,
    by_camera: CameraEmbedder | None = None,
) -> dict[str, Any]:
    """Embed crops into a folder, or resume after a kill.

    Under torchrun, all processes call this in the same way with a shared folder. Each takes the next free
    chunk, and process 0 joins the chunks. Rows do not depend on the process that embedded them.

    Args:
        embedder: the model and its settings.
        crops: to embed.
        folder: new, empty, or unfinished with the same model, crops and settings.
        dtype: type of the stored features.
        skip_unreadable: leave out unreadable images.
        by_camera: embeds in place of ``embedder``, of which it was made for these crops.

    Returns:
        The contents of the folder's ``info.json`` (see ``features.folder``).

    Raises:
        UserError: an image is unreadable, the model has no such branch, the folder has other contents or
            settings, or the disk is full. Finished chunks are kept.
    """
    batch, fingerprint = embedder.batch_size, embedder.fingerprint
    if by_camera is not None:  # rounding may differ between processes, so not the statistics themselves
        adapted = f"{fingerprint} statistics of {crops.digest()}"
        fingerprint = hashlib.blake2b(adapted.encode(), digest_size=16).hexdigest()
    plan = Plan(
        model=embedder.model.network.name,
        fingerprint=fingerprint,
        views=embedder.views,
        branches=None if embedder.branches is None else tuple(embedder.branches),
        dtype=dtype,
        precision=embedder.precision,
        batch=batch,
        chunk=batch * max(1, CHUNK // batch),
        width=embedder.width,
        crops=len(crops.paths),
        data=crops.digest(),
        source=str(crops.source.absolute()),
        part=crops.part,
    )
    with together() as processes, closing(FolderInProgress(folder, plan)) as progress:
        todo = progress.begin(skip_unreadable=skip_unreadable) if processes.rank == 0 else None
        first, todo = processes.broadcast((plan, todo))
        if found := plan.differences(first):
            raise UserError(
                f"Process {processes.rank} differs from process 0: {'; '.join(found)}. All processes need "
                "the same model, data and options."
            )
        if todo is None:
            say(f"{folder} is already complete: there is nothing to embed.")
        else:
            if by_camera is None:
                _choose_runtime(embedder, sum(len(plan.rows(chunk)) for chunk in todo), processes)
            decoder = Decoder(
                crops.paths, embedder.picture_size, embedder.device, plan, skip_unreadable, embedder.resizing
            )
            compute = (lambda pixels, _: embedder.compute(pixels)) if by_camera is None else by_camera.compute
            _embed_chunks(compute, decoder, progress, todo, processes)
            processes.wait()
            if processes.rank == 0:
                facts = {
                    "weights": embedder.weights,
                    "runtime": embedder.runtime if by_camera is None else "torch",
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "versions": {"resight": __version__, "torch": torch.__version__, "numpy": np.__version__},
                }
                items = np.array([_item(path) for path in crops.paths], dtype=np.int64)
                columns = {"persons": crops.persons, "cameras": crops.cameras, "items": items}
                columns["clothes"] = crops.clothes
                progress.finish(columns, crops.paths, crops.names, facts)
        processes.broadcast(None)  # wait until process 0 has finished
    info = read_info(folder)
    assert info is not None
    return info


def _choose_runtime(embedder: Embedder, crops: int, processes: Processes) -> None:
    """Let process 0 decide which runtime computes in all of them."""
    words = embedder.prepare(crops) if processes.rank == 0 else ""
    embedder.compute.choice = Choice.model_validate(processes.broadcast(embedder.compute.choice.model_dump()))
    if words:
        say(f"Embedding with {words}.")


def _embed_chunks(
    compute: Callable[[Tensor, Sequence[Path]], Tensor],
    decoder: Decoder,
    progress: FolderInProgress,
    todo: Sequence[int],
    processes: Processes,
) -> None:
    """Embed chunks until none is left; write each while the next is embedded."""

    def claimed() -> Iterator[int]:
        while (turn := processes.add("chunks", 1) - 1) < len(todo):
            yield todo[turn]

    def keep(chunk: int, found: list[Tensor], unreadable: dict[int, str]) -> None:
        empty = np.empty((0, plan.width), np.float32)
        features = np.concatenate([empty, *(part.cpu().numpy() for part in found)])
        progress.keep(chunk, features.astype(plan.dtype, copy=False), unreadable)

    plan = progress.plan
    before = plan.crops - sum(len(plan.rows(chunk)) for chunk in todo)
    shown = Bar("Embedding", plan.crops, before) if todo else nullcontext()
    found: list[Tensor] = []
    unreadable: dict[int, str] = {}
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, "writer") as writer, shown as bar:
        for batch in decoder.batches(claimed()):
            pixels, left_out = batch.read()
            if len(pixels):
                names = [decoder.paths[crop] for crop in batch.crops if crop not in left_out]
                vectors = compute(pixels, names)
                refuse_unusable(vectors.cpu().numpy(), pixels.numpy(), names)
                found.append(vectors)
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
    """Return a number that identifies a crop in all folders: a digest of its path."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "little") >> 1
