"""The cost of a network, and the shapes of its output, on the ``meta`` device, without computing."""

import copy
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resight.models.heads import Classifier
from resight.models.network import Network
from resight.models.representation import Representation


@dataclass(frozen=True, slots=True)
class Complexity:
    """The cost of embedding one crop (one view of it, if a network averages several).

    Attributes:
        parameters: weights of the network; a module used in several places counts once.
        multiply_adds: multiplications, each with its addition, in convolutions and matrix products.
        flops: both counted separately, ``2 * multiply_adds``.
        input: height and width of the crop in pixels.
        embedding: size D of the descriptor.
    """

    parameters: int
    multiply_adds: int
    flops: int
    input: tuple[int, int]
    embedding: int


def measure(model: Network) -> Complexity:
    """Measure a network at its input size, without its identity classifiers (only for training)."""
    network = _on_meta(model).eval()
    for module in network.modules():
        if isinstance(module, Classifier):
            module.weight = nn.Parameter(module.weight[:0])  # a classifier of no persons costs nothing
            module.bias = nn.Parameter(module.bias[:0])
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        embedding = network.describe(torch.empty(1, 3, *model.input_size, device="meta"))
    return Complexity(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
        flops=counter.get_total_flops(),
        input=model.input_size,
        embedding=embedding.shape[1],
    )


def example(model: Network, batch: int = 2, size: tuple[int, int] | None = None) -> Representation:
    """Return the model's output in training for a batch of pictures of this size: shapes without values.

    Args:
        model: to ask.
        batch: number of pictures.
        size: their height and width; the model's input size by default.
    """
    images = torch.empty(batch, 3, *(size or model.input_size), device="meta")
    with torch.no_grad():
        found: Representation = _on_meta(model).train()(images)
    return found


def _on_meta(model: Network) -> Network:
    """Copy a model without copying its tensors."""
    memo: dict[int, object] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        bare = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(bare) if isinstance(tensor, nn.Parameter) else bare
    return copy.deepcopy(model, memo)
