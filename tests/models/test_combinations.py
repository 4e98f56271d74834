"""Every attention module after every layer of every network on every trunk, and every term on all of it."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from small import LIGHT, PERSONS, pictures, settle
from torch import Tensor

from resight.errors import UserError
from resight.losses.objective import Objective
from resight.losses.term import TERMS, Term
from resight.models.complexity import example
from resight.models.network import MODELS, Network, build_model
from resight.models.representation import Branch, Representation
from resight.models.trunk import ATTENTIONS, TRUNKS

SIZE = (64, 32)
CROPS = torch.tensor([0, 0, 0, 1, 1, 2])


def ours(registry: Any) -> list[str]:
    return [name for name in registry.names() if registry.get(name).__module__.startswith("resight.")]


def networks() -> dict[str, dict[str, Any]]:
    """Return each network that takes attention, on each trunk: title -> settings, its name among them."""
    found: dict[str, dict[str, Any]] = {}
    for name in ours(MODELS):
        plain: dict[str, Any] = {"name": name, "input_size": SIZE}
        defaults = MODELS.defaults(name, {})
        if "attention" not in defaults:
            continue  # a vision transformer takes no modules
        if "trunk" not in defaults:
            found[name] = plain | {"widths": (16, 32, 48)}
            continue
        for trunk in ours(TRUNKS):
            settings = plain | {"trunk": {"name": trunk, **LIGHT.get(trunk, {})}}
            if "dilated" in defaults:
                settings["dilated"] = trunk == "resnet"
            found[f"{name} on {trunk}"] = settings
    found["pooled without classifier"] = found["pooled on mobilenet"] | {"classifier": False}
    return found


NETWORKS = networks()
LONG = [title for title in NETWORKS if title.startswith(("sal on mobilenet", "sona on mobilenet"))]
"""A quarter of a minute each with all modules; ``pooled`` has the same trunks."""
STYLES = ("instance-norm", "mixstyle")
"""Modules without attention, which test_styles.py combines with networks."""
MODULES = [None, *(name for name in ours(ATTENTIONS) if name not in STYLES)]


@cache
def bare(title: str) -> dict[str, torch.Size]:
    """Return the shapes of the features of the network without attention."""
    with torch.device("meta"):
        found = example(built(title, {}))
    return {layer: features.shape for layer, features in found.features.items()}


def built(title: str, attention: dict[str, str]) -> Network:
    settings = dict(NETWORKS[title])
    return build_model(settings.pop("name"), PERSONS, **settings, attention=attention)


def feeds(found: Representation, name: str) -> bool:
    """Tell whether the model produces what the term reads: docs/methods/index.md has the table."""
    return {
        "cross-entropy": any(branch.logits is not None for branch in found.branches.values()),
        "self-attention": len(found.features) >= 2,
        "total-variation": any(seen.dim() == 4 for seen in found.attention.values()),
    }.get(name, bool(found.branches))


def leaves(found: Representation) -> tuple[Representation, list[Tensor]]:
    """Return the same values with no network behind them, and all tensors that have a gradient there."""
    made: list[Tensor] = []

    def leaf(values: Tensor) -> Tensor:
        made.append(values.detach().requires_grad_())
        return made[-1]

    branches = {
        name: Branch(leaf(branch.embedding), None if branch.logits is None else leaf(branch.logits))
        for name, branch in found.branches.items()
    }
    others = {
        kind: {name: leaf(values) for name, values in getattr(found, kind).items()}
        for kind in ("attention", "masked", "features")
    }
    return replace(found, branches=branches, **others), made


def fitting_terms(shapes: Representation) -> list[tuple[str, float, Term]]:
    """Return every term that the model feeds; the others refuse it."""
    terms = []
    for name in ours(TERMS):
        term = TERMS.build(name)
        if feeds(shapes, name):
            terms.append((name, 1.0, term))
        else:
            with pytest.raises(UserError, match=f"Term '{name}' does not fit the model: "):
                Objective([(name, 1.0, term)], shapes, PERSONS)
    return terms


def test_there_is_something_to_combine() -> None:
    assert {"han", "pooled on resnet", "sal on osnet", "sona on mobilenet"} <= set(NETWORKS)
    assert {"harmonious", "non-local", "second-order", "sharp"} <= set(ours(ATTENTIONS))
    assert {"triplet", "quadruplet", "support-neighbour", "self-attention"} <= set(ours(TERMS))


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[pytest.mark.slow] if title in LONG else []) for title in NETWORKS]
)
def test_they_train_together(title: str, module: str | None) -> None:
    model = built(title, dict.fromkeys(bare(title), module) if module else {})
    settle(model, model, SIZE)
    shapes = example(model)
    assert {layer: features.shape for layer, features in shapes.features.items()} == bare(title)
    for layer, features in shapes.features.items() if module else ():
        seen = shapes.attention.get(layer)
        assert seen is None or seen.shape in (features.shape, features[:, 0].shape)
    terms = fitting_terms(shapes)
    assert ("total-variation" in [name for name, _, _ in terms]) == (module == "sharp")
    objective = Objective(terms, shapes, PERSONS)
    attended: list[Tensor] = []
    for modules in model.attentions.children():
        modules[-1].register_forward_hook(lambda _, __, out: attended.append(out[0]))
    found = model(pictures(SIZE, len(CROPS)))
    if module:  # what the module says is what goes on
        pairs = zip(found.features.values(), attended, strict=True)
        assert all(features is output for features, output in pairs)
    for name, _, term in terms:  # each by itself says something, and something to the network
        alone, tensors = leaves(found)
        if name == "cluster-memory":
            term(alone, CROPS)  # its vectors begin at zero, and this moves them
        loss = term(alone, CROPS)
        gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        assert loss.isfinite(), name
        assert any(gradient is not None and gradient.any() for gradient in gradients), name
    total, said = objective(found, CROPS)
    assert list(said) == [name for name, _, _ in terms]
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
