"""Weights of other toolkits: recognising their architecture, and loading them into our networks.

Tensors are matched by the names in torchreid and torchvision, which our trunks (``models.trunks``) also use.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from resight.errors import UserError, did_you_mean
from resight.imaging import Resizing
from resight.models.architectures import ARCHITECTURES
from resight.models.checkpoints import read_checkpoint
from resight.models.network import Network
from resight.models.trunk import TrunkNetwork
from resight.models.weights import TensorMatch, few, match_tensors

NORMS = {"0": "1", "conv": "bn"}
"""Name of a layer in its module -> that of its batch normalisation."""

CAMERAS = {known.cameras.name for known in ARCHITECTURES.values() if known.cameras is not None}
"""Names of tensors with a vector for each camera of the training data."""

STATISTICS = {"pixel_mean": "mean", "pixel_std": "std"}
"""Name in older files of fast-reid -> ours of the statistics of pixels, which are from 0 to 255 there."""


@dataclass(frozen=True, slots=True)
class ForeignWeights:
    """A network with weights of another toolkit.

    Attributes:
        network: network in evaluation mode, on the CPU, which takes RGB.
        architecture: its name in ``ARCHITECTURES``.
        resizing: how crops are resized for it.
        used: number of the file's tensors that were loaded.
        dropped: names of the tensors that embedding does not need, such as those of its classifier.
        unused: names of other tensors that the network does not have.
        cameras: number of cameras that the file has vectors of.
    """

    network: Network
    architecture: str
    resizing: Resizing
    used: int
    dropped: tuple[str, ...]
    unused: tuple[str, ...]
    cameras: int = 0


def read_foreign(path: Path, architecture: str | None = None, camera: int | None = None) -> ForeignWeights:
    """Read weights of another toolkit into a network.

    Args:
        path: file that ``read_checkpoint`` reads.
        architecture: name in ``ARCHITECTURES``; by default recognised by names and shapes of the tensors.
        camera: camera of the training data, from 0, whose vector is added for every crop, if the network was
            trained with vectors of cameras; by default, none is added.

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
    statistics = {STATISTICS[name]: tensors.pop(name) for name in STATISTICS if name in tensors}
    cameras = {name: tensors.pop(name) for name in CAMERAS if name in tensors}
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
    network = ARCHITECTURES[architecture].build()
    _load(network, architecture, match.used)
    vectors = _add_camera(path, network, architecture, cameras, camera)
    for name, values in statistics.items():
        getattr(network, name).copy_(values.view(1, 3, 1, 1) / 255)
    return ForeignWeights(
        network,
        architecture,
        ARCHITECTURES[architecture].resizing,
        len(match.used) + len(statistics) + (camera is not None),
        tuple(match.dropped),
        (*match.unused, *(vectors if camera is None else ())),
        0 if not cameras else len(next(iter(cameras.values()))),
    )


def _add_camera(
    path: Path, network: Network, architecture: str, cameras: Mapping[str, Tensor], camera: int | None
) -> Mapping[str, Tensor]:
    """Add a camera's vector to the network's own, if one is chosen; return the file's vectors."""
    known = ARCHITECTURES[architecture].cameras
    found = {} if known is None else {name: cameras[name] for name in cameras if name == known.name}
    if camera is None:
        return found
    if known is None or not found:
        raise UserError(
            f"{path} has no vectors of cameras, so there is none of camera {camera}. Leave "
            "--camera-embedding out."
        )
    vectors = found[known.name]
    if not 0 <= camera < len(vectors):
        raise UserError(
            f"{path} has vectors of {len(vectors)} cameras, 0 to {len(vectors) - 1}; got {camera}."
        )
    with torch.no_grad():
        network.get_parameter(known.target).add_(known.factor * vectors[camera].flatten())
    return found


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
    dropped = ARCHITECTURES[architecture].dropped
    return _Fit(architecture, match_tensors(tensors, rename(list(tensors)), expected, dropped))


def expected_tensors(architecture: str) -> dict[str, Tensor]:
    """Return an architecture's tensors by their published names, without values (on ``meta``)."""
    return _expected(architecture)[1]


@cache
def _expected(architecture: str) -> tuple[Callable[[Sequence[str]], list[str]], dict[str, Tensor]]:
    """Return the function that gives a file's tensors their published names, and ``expected_tensors``."""
    known = ARCHITECTURES[architecture]
    with torch.device("meta"):
        network = known.build()
    expected = {
        published: tensor for name, tensor in network.state_dict().items() if (published := known.names(name))
    }
    expected |= {bias: expected[mean] for bias, mean in _biases(architecture, expected).items()}
    return network.trunk.own_names if isinstance(network, TrunkNetwork) else list, expected


def _biases(architecture: str, names: Iterable[str]) -> dict[str, str]:
    """Return the name of each bias that ours lack -> the name of the running mean that takes it up."""
    layers = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    return {
        f"{layer}.bias": f"{layer.removesuffix(last)}{NORMS[last]}.running_mean"
        for layer in layers
        if re.fullmatch(ARCHITECTURES[architecture].biased, layer)
        for last in [layer.rpartition(".")[2]]
    }


def _load(network: Network, architecture: str, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors by their published names.

    Some published layers have a bias before their batch normalisation. Ours have none: the bias is subtracted
    from the running mean instead.
    """
    found, names = dict(tensors), ARCHITECTURES[architecture].names
    for bias, mean in _biases(architecture, tensors).items():
        found[mean] = found[mean] - found.pop(bias)
    state = network.state_dict()
    network.load_state_dict(state | {name: found[new] for name in state if (new := names(name)) in found})


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
