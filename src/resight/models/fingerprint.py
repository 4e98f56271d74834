"""A short name of everything that decides a network's descriptors, so that those of two are never mixed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from resight.models.network import MODELS, Network, Views
from resight.models.trunk import ATTENTIONS, TRUNKS

FORMAT = "2"
"""Part of every fingerprint: raised when the same weights come to give other descriptors, because decoding,
resizing or a layer changed."""


def fingerprint(network: Network, branches: Sequence[str] | None = None, views: Views | None = None) -> str:
    """Return 32 hexadecimal digits: equal where two networks describe every crop alike, to rounding.

    Of the model's name, its settings, its input size, views, branches and descriptor, and each of its
    tensors (among them the statistics that pixels are normalised by). Settings at their defaults do not
    count, so that a model keeps its fingerprint when a later version of Resight has more to set. The
    device, the precision of the forward pass and the type that descriptors are stored in are not part of
    it: they change the numbers by rounding alone.

    Args:
        network: what ``build_model`` made or ``load_weights`` read, in any mode, on any device.
        branches: names of the branches that make the descriptor; all by default.
        views: of a crop, whose descriptors are averaged; by default the network's.
    """
    decided = {"views": views or network.views, "descriptor": network.descriptor}
    content = {
        "format": FORMAT,
        "model": network.name,
        "settings": _set(network.settings | decided, MODELS.defaults(network.name, {})),
        "input_size": list(network.input_size),
        "branches": None if branches is None else list(branches),
    }
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _set(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not at their defaults, those of named parts likewise."""
    return {key: _part(value) for key, value in settings.items() if value != defaults.get(key, ...)}


def _part(value: Any) -> Any:
    if isinstance(value, list):
        return [_part(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    for registry in (TRUNKS, ATTENTIONS):
        if value.get("name") in registry.names():
            return _set(value, registry.defaults(value["name"], {}))
    return {key: _part(item) for key, item in value.items()}
