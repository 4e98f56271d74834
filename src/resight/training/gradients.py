"""Which parameters a recipe's terms can train, found from the graph of a pass without values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from resight.losses.term import Term
from resight.models.network import Network
from resight.models.representation import Branch, Representation

Reach = Mapping[str, frozenset[str]]
"""Name of an output tensor of a model -> the parameters that its gradient reaches."""

PERSONS, CROPS, SIDE = 2, 2, 8


def trace(model: Network) -> tuple[Representation, Reach]:
    """Return a model's output in training, and the parameters on which each of its tensors depends.

    Parameters that are frozen on purpose (``requires_grad`` false) are left out.

    Args:
        model: on the ``meta`` device, because nothing is computed.

    Returns:
        The representation of two crops, shapes without values; and the parameters.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        found = model.train()(torch.empty(2, 3, *model.input_size, device="meta"))
    return found, {
        key: frozenset(names[leaf] for leaf in _leaves(tensor) if leaf in names)
        for key, tensor in _tensors(found)
    }


def trained(reached: Reach, shapes: Representation, terms: Sequence[Term]) -> set[str]:
    """Return the parameters that get a gradient from these terms.

    The terms are computed on a small representation of random values, which takes milliseconds.

    Args:
        reached: of the model.
        shapes: the model's output, on the ``meta`` device.
        terms: prepared for it.
    """
    values = _random(shapes)
    persons = torch.arange(PERSONS).repeat_interleave(CROPS)
    with torch.enable_grad():
        losses = [term(values, persons) for term in terms]
    read = {leaf for loss in losses for leaf in _leaves(loss)}
    keys = [key for key, tensor in _tensors(values) if id(tensor) in read]
    return set().union(*(reached[key] for key in keys))


def _tensors(found: Representation) -> Iterator[tuple[str, Tensor]]:
    for name, branch in found.branches.items():
        yield f"{name}.embedding", branch.embedding
        if branch.logits is not None:
            yield f"{name}.logits", branch.logits
    for kind in ("attention", "regions", "masked", "features"):
        for name, tensor in getattr(found, kind).items():
            yield f"{kind}.{name}", tensor


def _random(shapes: Representation) -> Representation:
    """Return leaves with a gradient: vectors in full size, maps cut to a few positions."""

    def leaf(tensor: Tensor, most: int | None = None) -> Tensor:
        sides = [side if most is None else min(side, most) for side in tensor.shape[1:]]
        return torch.rand(PERSONS * CROPS, *sides, requires_grad=True)

    branches = {
        name: Branch(leaf(one.embedding), None if one.logits is None else leaf(one.logits))
        for name, one in shapes.branches.items()
    }
    maps = {
        kind: {name: leaf(tensor, SIDE) for name, tensor in getattr(shapes, kind).items()}
        for kind in ("attention", "masked", "features")
    }
    regions = {name: leaf(tensor) for name, tensor in shapes.regions.items()}
    return replace(shapes, branches=branches, regions=regions, **maps)


def _leaves(tensor: Tensor) -> set[int]:
    """Return the ids of the leaves that a gradient of the tensor reaches."""
    if tensor.grad_fn is None:
        return {id(tensor)} if tensor.requires_grad else set()
    found, seen, waiting = set(), {tensor.grad_fn}, [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if (variable := getattr(node, "variable", None)) is not None:
            found.add(id(variable))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return found
