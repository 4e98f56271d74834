"""A hash of everything that decides a network's descriptors, so that those of two are never mixed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from resight.models.network import MODELS, Network, Views
from resight.models.trunk import ATTENTIONS, TRUNKS

FORMAT = "2"
"""Part of every fingerprint: increased when the same weights give other descriptors, because decoding,
resizing or a layer changed."""


def fingerprint(network: Network, branches: Sequence[str] | None = None, views: Views | None = None) -> str:
    """Return 32 hexadecimal digits, equal for networks with equal descriptors of every crop, up to rounding.

    It covers the model's name, settings, input size, views, branches and descriptor, and its tensors (with
    the statistics for normalising pixels). Settings at their defaults do not count, so that a model keeps its
    fingerprint when a later version of Resight has more settings. The device, the precision of the forward
    pass and the stored type of descriptors are not part of it: they change the numbers only by rounding.

    Args:
        network: from ``build_model`` or ``load_weights``, in any mode, on any device.
        branches: names of the branches that make the descriptor; all by default.
        views: of a crop to average over; by default the network's.
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
    """Return the settings that are not at their defaults, also of named parts."""
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
