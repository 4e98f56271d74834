"""Optimisers for recipes: functions of the parameters and settings."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch.nn import Parameter
from torch.optim import Optimizer

from resight.registry import Registry
from resight.training.muon import Muon

OPTIMIZERS: Registry[Optimizer] = Registry("optimiser", "resight.training")
"""Each is called with the parameters to train; the schedule multiplies ``lr``."""

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


@OPTIMIZERS.register("sgd")
def sgd(
    parameters: Iterable[Parameter],
    *,
    lr: Rate,
    momentum: Share = 0.9,
    nesterov: bool = False,
    weight_decay: Decay = 0.0,
    decay_biases_and_norms: bool = True,
) -> Optimizer:
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""
    groups = _groups(parameters, weight_decay, decay_biases_and_norms)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)


@OPTIMIZERS.register("adam")
def adam(
    parameters: Iterable[Parameter],
    *,
    lr: Rate,
    betas: tuple[Share, Share] = (0.9, 0.999),
    late_betas: tuple[Share, Share] | None = None,
    late_from: Annotated[float, Field(ge=0)] = 0.0,
    weight_decay: Decay = 0.0,
    decay_biases_and_norms: bool = True,
) -> Optimizer:
    """Adam; weight decay is added to the gradient, as in the papers that state it for Adam.

    Args:
        lr, betas: of Kingma and Ba (2015).
        late_betas: in place of ``betas`` from epoch ``late_from`` of the stage on, set by the trainer: TriNet
            lowers the first to 0.5 when its rate begins to decay (Hermans et al. 2017, Sec. 4.2).
        weight_decay, decay_biases_and_norms: as for ``sgd``.
    """
    groups = _groups(parameters, weight_decay, decay_biases_and_norms)
    return torch.optim.Adam(groups, lr=lr, betas=betas, fused=True)


@OPTIMIZERS.register("adamw")
def adamw(
    parameters: Iterable[Parameter],
    *,
    lr: Rate,
    betas: tuple[Share, Share] = (0.9, 0.999),
    weight_decay: Decay = 0.01,
    decay_biases_and_norms: bool = True,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    groups = _groups(parameters, weight_decay, decay_biases_and_norms)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


@OPTIMIZERS.register("muon")
def muon(
    parameters: Iterable[Parameter],
    *,
    lr: Rate,
    momentum: Share = 0.95,
    betas: tuple[Share, Share] = (0.9, 0.999),
    weight_decay: Decay = 0.01,
    decay_biases_and_norms: bool = True,
) -> Optimizer:
    """Orthogonal steps for convolutions, AdamW for all else (``training.muon``)."""
    groups = _groups(parameters, weight_decay, decay_biases_and_norms)
    return Muon(groups, lr=lr, momentum=momentum, betas=betas)


def _groups(parameters: Iterable[Parameter], weight_decay: float, decay_all: bool) -> list[dict[str, object]]:
    """Separate the parameters that decay.

    Unless all do, biases and norms do not, which have one dimension. A module says it of its own parameter by
    an attribute ``decays`` (``HardAttention``).
    """
    groups: dict[bool, list[Parameter]] = {True: [], False: []}
    for parameter in parameters:
        if parameter.requires_grad:
            groups[getattr(parameter, "decays", decay_all or parameter.ndim > 1)].append(parameter)
    return [
        {"params": chosen, "weight_decay": weight_decay if decays else 0.0}
        for decays, chosen in groups.items()
        if chosen
    ]
