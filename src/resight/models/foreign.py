"""Weights of other toolkits: recognising their architecture, and loading them into our networks.

Tensors are matched by the names in torchreid and torchvision, which our trunks (``models.trunks``) also use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resight.errors import UserError, did_you_mean
from resight.models.checkpoints import read_checkpoint
from resight.models.network import Network, build_model
from resight.models.trunk import TrunkNetwork
from resight.models.weights import TensorMatch, few, match_tensors

TORCHREID = ("classifier.",)
"""Prefixes of the names of tensors of torchreid's classifiers."""

EITHER = (*TORCHREID, "fc.weight", "fc.bias")
"""The same for ResNets of torchreid or torchvision."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network with weights published by others.

    Attributes:
        settings: settings of our network ``pooled``.
        classifiers: prefixes of the names of classifiers' tensors, which embedding does not need.
    """

    settings: Mapping[str, Any]
    classifiers: tuple[str, ...] = TORCHREID


def _osnet(width: float, norm: str = "batch") -> Architecture:
    return Architecture({"trunk": {"name": "osnet", "width": width, "norm": norm}, "head": "fc"})


def _resnet(classifiers: tuple[str, ...] = TORCHREID, head: str = "pooled", **trunk: Any) -> Architecture:
    return Architecture({"trunk": {"name": "resnet", **trunk}, "head": head}, classifiers)


def _mobilenet(name: str, **trunk: Any) -> Architecture:
    return Architecture({"trunk": {"name": name, **trunk}, "head": "pooled"})


FINER = (1, 2, 2, 1)
"""Strides of a ResNet whose last layer does not downsample."""

ARCHITECTURES: Mapping[str, Architecture] = {
    **{f"osnet-x{width}": _osnet(width) for width in (1.0, 0.75, 0.5, 0.25)},
    "osnet-ibn-x1.0": _osnet(1.0, "ibn"),
    **{f"osnet-ain-x{width}": _osnet(width, "ain") for width in (1.0, 0.75, 0.5, 0.25)},
    **{f"resnet-{depth}": _resnet(EITHER, depth=depth) for depth in (18, 50, 101)},
    "resnet-50-stride-1": _resnet((), strides=FINER),
    "resnet-50-fc512": _resnet(head="fc", strides=FINER),
    "resnet-50-ibn-a": _resnet(EITHER, norm="ibn-a"),
    "resnet-50-ibn-b": _resnet(EITHER, norm="ibn-b"),
    "mobilenet-v2": _mobilenet("mobilenet-v2"),
    "mobilenet-v3-large": _mobilenet("mobilenet-v3", size="large"),
    "mobilenet-v3-small": _mobilenet("mobilenet-v3", size="small"),
}
"""By name. ``resnet-50-stride-1`` has the same tensors as ``resnet-50``, but another stride in layer4."""


@dataclass(frozen=True, slots=True)
class ForeignWeights:
    """A network with weights of another toolkit.

    Attributes:
        network: network in evaluation mode, on the CPU; takes RGB, normalised with ImageNet's statistics.
        architecture: its name in ``ARCHITECTURES``.
        used: number of the file's tensors that were loaded.
        dropped: names of the tensors of its classifier.
        unused: names of other tensors that the network does not have.
    """

    network: Network
    architecture: str
    used: int
    dropped: tuple[str, ...]
    unused: tuple[str, ...]


def read_foreign(path: Path, architecture: str | None = None) -> ForeignWeights:
    """Read weights of another toolkit into a network.

    Args:
        path: file that ``read_checkpoint`` reads.
        architecture: name in ``ARCHITECTURES``; by default recognised by names and shapes of the tensors.

    Raises:
        UserError: the file cannot be read; its tensors fit another architecture, no known one, or several;
            there is no architecture of that name.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise UserError(
            f"Unknown architecture '{architecture}'.{did_you_mean(architecture, ARCHITECTURES)} Expected one "
            f"of {', '.join(ARCHITECTURES)}."
        )
    tensors = read_checkpoint(path)
    fits = {name: _fit(tensors, name) for name in ARCHITECTURES}
    fitting = [name for name, fit in fits.items() if fit.exact]
    if architecture is None:
        if len(fitting) != 1:
            raise UserError(_cannot_tell(path, fits, fitting))
        (architecture,) = fitting
    fit = fits[architecture]
    match = fit.match
    if match.differences or any(len(fits[name].match.used) > len(match.used) for name in fitting):
        raise UserError(_misfit(path, fits, fit))
    network = _build(architecture)
    _load(network, match.used)
    return ForeignWeights(network, architecture, len(match.used), tuple(match.dropped), tuple(match.unused))


def match_architecture(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the architectures (sometimes several) with these tensors, classifiers left out."""
    return [name for name in ARCHITECTURES if _fit(tensors, name).exact]


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a file's tensors fit an architecture.

    Attributes:
        architecture: its name.
        match: the file's tensors beside the architecture's, by their published names.
    """

    architecture: str
    match: TensorMatch

    @property
    def exact(self) -> bool:
        """Whether no tensor is missing, and only a classifier is left over."""
        return not self.match.differences and not self.match.unused

    @property
    def differences(self) -> str:
        """The differences, a line for each kind."""
        unused = self.match.unused
        return self.match.differences or f"\n  {len(unused)} not of the model: {few(unused)}"

    @property
    def similarity(self) -> tuple[int, int]:
        """Number of tensors with the same name and shape in both, and with the same name."""
        used, expected = self.match.used, self.match.expected
        common = used.keys() & expected.keys()
        return sum(used[name].shape == expected[name].shape for name in common), len(common)


def _fit(tensors: Mapping[str, Tensor], architecture: str) -> _Fit:
    rename, expected = _expected(architecture)
    classifiers = ARCHITECTURES[architecture].classifiers
    return _Fit(architecture, match_tensors(tensors, rename(list(tensors)), expected, classifiers))


def expected_tensors(architecture: str) -> dict[str, Tensor]:
    """Return an architecture's tensors by their published names, without values (on ``meta``)."""
    return _expected(architecture)[1]


@cache
def _expected(architecture: str) -> tuple[Callable[[Sequence[str]], list[str]], dict[str, Tensor]]:
    """Return the function that gives a file's tensors their published names, and ``expected_tensors``."""
    with torch.device("meta"):
        network = _build(architecture)
    expected = {
        published: tensor for name, tensor in network.state_dict().items() if (published := _published(name))
    }
    if "fc.0.weight" in expected:
        expected["fc.0.bias"] = expected["fc.1.bias"]
    return network.trunk.own_names, expected


def _build(architecture: str) -> TrunkNetwork:
    network = build_model("pooled", 1, **ARCHITECTURES[architecture].settings, classifier=False).eval()
    assert isinstance(network, TrunkNetwork)
    return network


def _published(name: str) -> str:
    """Return the published name of a tensor of ours; "" if it has none."""
    if name.startswith("head.feature."):
        return name.replace("head.feature.", "fc.")
    return name.removeprefix("trunk.") if name.startswith("trunk.") else ""


def _load(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors by their published names.

    The published fully-connected layer has a bias before its batch normalisation. Ours does not: the bias is
    subtracted from the running mean instead.
    """
    found = dict(tensors)
    if (bias := found.pop("fc.0.bias", None)) is not None:
        found["fc.1.running_mean"] = found["fc.1.running_mean"] - bias
    state = network.state_dict()
    network.load_state_dict(
        state | {name: found[new] for name in state if (new := _published(name)) in found}
    )


def _misfit(path: Path, fits: Mapping[str, _Fit], fit: _Fit) -> str:
    """Return a message: how a file differs from an architecture, and which one fits best."""
    best = _nearest(fits)
    if best.exact:
        advice = f"They are those of {best.architecture}: give --architecture {best.architecture}, or none."
    elif best is fit:
        advice = "No other architecture that Resight knows fits better."
    else:
        advice = f"{best.architecture} fits best, but differs too:{best.differences}"
    return f"The tensors in {path} are not those of {fit.architecture}:{fit.differences}\n{advice}"


def _cannot_tell(path: Path, fits: Mapping[str, _Fit], fitting: Sequence[str]) -> str:
    """Return a message: why the architecture of a file is not known."""
    if fitting:
        return (
            f"The tensors in {path} may be those of {' or '.join(fitting)}, which have the same tensors but "
            "differ otherwise, such as in a stride. Look up how they were trained, and give --architecture."
        )
    best = _nearest(fits)
    if not best.similarity[1]:
        return (
            f"The tensors in {path} are of no architecture that Resight knows: no name is the same. Known "
            f"architectures: {', '.join(fits)}. Export the network to ONNX with its own program, and import "
            "that."
        )
    return (
        f"The tensors in {path} are of no architecture that Resight knows. The nearest is "
        f"{best.architecture}, from which they differ:{best.differences}\n"
        "Export the network to ONNX with its own program, and import that."
    )


def _nearest(fits: Mapping[str, _Fit]) -> _Fit:
    """Return the fit with the most tensors of equal name and shape; of these, that with the fewest others."""

    def closeness(fit: _Fit) -> tuple[bool, tuple[int, int], int, int]:
        return fit.exact, fit.similarity, -len(fit.match.used), -len(fit.match.unused)

    return max(fits.values(), key=closeness)
