"""Preparing a network for inference: batch normalisation is folded into the layer before it."""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

M = TypeVar("M", bound=nn.Module)


def folded(model: M) -> M:
    """Return a copy in evaluation mode with the same outputs up to rounding, computed in fewer passes.

    A convolution or linear layer and the batch normalisation that alone reads its output become one layer. In
    an ``nn.Sequential`` they are found by order; other modules name them in ``normalised_by``: name -> name.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(network.modules()):
        for name, reader in _followed(module):
            _fold(module, name, reader)
    return network


def _followed(module: nn.Module) -> Iterable[tuple[str, str]]:
    """Return names of sub-modules, each with that of the only one that reads its output."""
    if isinstance(module, nn.Sequential):
        return pairwise(module._modules)
    return getattr(module, "normalised_by", {}).items()


def _fold(owner: nn.Module, name: str, reader: str) -> None:
    layer, norm = owner.get_submodule(name), owner.get_submodule(reader)
    if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        one: nn.Module = fuse_conv_bn_eval(layer, norm)
    elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        one = fuse_linear_bn_eval(layer, norm)
    else:
        return
    setattr(owner, name, one)
    setattr(owner, reader, nn.Identity())
