"""Batch normalisation by the statistics of unlabelled crops, of cameras that a network was not trained on."""

import copy
from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from resight.device import Precision, autocast
from resight.errors import UserError
from resight.models.embedding import Crops, PixelEmbedder
from resight.models.network import Network
from resight.progress import Bar

FEWEST = 16
"""Crops of a camera from which its own statistics are taken; a camera with fewer gets those of all crops."""

MOST = 1024
"""Crops of a camera that statistics are taken from, spread over all of them."""

BATCH = 64

N = TypeVar("N", bound=Network)


def with_statistics(network: N, crops: Crops, device: torch.device, precision: Precision = "auto") -> N:
    """Return a copy in evaluation mode whose batch normalisation has the mean and variance of these crops.

    They replace those of the crops that it was trained on, whose cameras had other light and colours (Li et
    al., "Adaptive Batch Normalization", Pattern Recognition 2018, Sec. 3.2; for each camera: Zhuang et al.,
    "Rethinking the Distribution Gap of Person Re-identification with Camera-based Batch Normalization", ECCV
    2020, Sec. 3.3).

    Args:
        network: it is not changed.
        crops: uint8 [N, *picture_size, 3], RGB; no labels are needed.
        device, precision: of the forward passes.

    Raises:
        UserError: there are fewer than two crops, or the vectors do not depend on batch normalisation.
    """
    if len(crops) < 2:
        raise UserError(f"The statistics of crops need two crops or more; got {len(crops)}.")
    found: N = copy.deepcopy(network).eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    norms = [module for module in found.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.inference_mode(), autocast(device, precision):
        for rows in np.array_split(np.arange(len(crops)), -(-len(crops) // BATCH)):
            pixels = torch.from_numpy(np.stack([crops[row] for row in rows])).to(device)
            images = found.normalise(pixels.permute(0, 3, 1, 2))
            found.embed(images)
        for norm in norms:
            norm.momentum = 0.1
        before = copy.deepcopy(network).eval().to(device).embed(images[:2])
        unchanged = torch.equal(found.eval().embed(images[:2]), before)
    if unchanged:  # a vision transformer has some in its classifiers alone
        raise UserError(
            f"The vectors of {network.name} do not depend on batch normalisation, so there are no "
            "statistics to adapt. Leave --adapt-statistics or labelling.adapt_statistics out."
        )
    return found


def embed_by_camera(
    network: Network,
    crops: Crops,
    cameras: Sequence[Hashable],
    device: torch.device,
    precision: Precision,
    title: str,
) -> Tensor:
    """Return the descriptors float32 [N, D] of crops, each with the statistics of its camera.

    Args:
        network, crops, device, precision: see ``with_statistics``.
        cameras: see ``camera_groups``.
        title: of the progress bar.
    """
    group, sources = camera_groups(cameras)
    found: Tensor | None = None
    with Bar(title, len(crops)) as bar:
        for number, rows in enumerate(sources):
            own = with_statistics(network, [crops[row] for row in rows], device, precision)
            embedder = PixelEmbedder(own, device=device, precision=precision)
            here = np.flatnonzero(group == (number if number in group else -1))
            for part in np.array_split(here, -(-len(here) // BATCH)):
                vectors = embedder(torch.from_numpy(np.stack([crops[row] for row in part]))).cpu()
                found = vectors.new_empty(len(crops), vectors.shape[1]) if found is None else found
                found[part] = vectors
                bar.advance(len(part))
    assert found is not None
    return found


def camera_groups(cameras: Sequence[Hashable]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Group crops by camera.

    Args:
        cameras: of each of the N crops; None if unknown.

    Returns:
        The group [N] of each crop, -1 for those of unknown cameras and of cameras with fewer than ``FEWEST``;
        and for each group the rows whose statistics it gets, at most ``MOST``. The last one is group -1, if
        there is such a crop, with rows of all crops.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, camera in enumerate(cameras):
        rows.setdefault(camera, []).append(row)
    group = np.full(len(cameras), -1, dtype=np.int64)
    sources = [of_one for camera, of_one in rows.items() if camera is not None and len(of_one) >= FEWEST]
    for number, of_one in enumerate(sources):
        group[of_one] = number
    if -1 in group:
        sources.append(list(range(len(cameras))))
    return group, [_spread(np.array(of_one, dtype=np.int64)) for of_one in sources]


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(np.int64)]
