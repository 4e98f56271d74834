"""Activation checkpointing: a backward pass computes a block's activations again instead of keeping them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, features: Tensor) -> Tensor:
    """Apply a block; in training, only its input is kept for the backward pass.

    Gradients and running statistics are those of the block alone.
    """
    if not (block.training and torch.is_grad_enabled()):
        return block(features)  # type: ignore[no-any-return]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_counting(block)

    return checkpoint(block, features, use_reentrant=False, context_fn=contexts)  # type: ignore[no-any-return]


@contextmanager
def _without_counting(block: nn.Module) -> Iterator[None]:
    """Let batch normalisations compute without changing their running statistics."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, torch.tensor(0)
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
