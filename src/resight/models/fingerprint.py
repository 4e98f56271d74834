"""A short name of everything that decides a network's descriptors, so that those of two are never mixed."""

import hashlib
import json
from collections.abc import Sequence

import torch

from resight.models.network import Network

FORMAT = "1"
"""Part of every fingerprint: raised when the same weights come to give other descriptors, because decoding,
resizing or a layer changed."""


def fingerprint(network: Network, branches: Sequence[str] | None = None) -> str:
    """Return 32 hexadecimal digits: equal where two networks describe every crop alike, to rounding.

    Of the model's name, its settings, its input size, views and branches, and each of its tensors (among them
    the statistics that pixels are normalised by). The device, the precision of the forward pass and the type
    that descriptors are stored in are not part of it: they change the numbers by rounding alone.

    Args:
        network: what ``build_model`` made or ``load_weights`` read, in any mode, on any device.
        branches: names of the branches that make the descriptor; all by default.
    """
    told = {
        "format": FORMAT,
        "model": network.name,
        "settings": network.settings | {"views": network.views},
        "input_size": list(network.input_size),
        "branches": None if branches is None else list(branches),
    }
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
