"""Weights and pictures that a seed and the names of tensors decide, with NumPy alone."""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 17

REFERENCES = Path(__file__).parent / "data"
"""One file for each toolkit, written by scripts/reference_vectors.py."""


def reference(part: str) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Yield each architecture with its ``vectors`` of the pictures, or with its ``shapes``, a JSON text."""
    for path in sorted(REFERENCES.glob("*.npz")):
        with np.load(path) as file:
            for key in file.files:
                name, _, kind = key.rpartition(" ")
                if kind == part:
                    yield name, file[key]


def reference_shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Return, for each architecture, the shape of each tensor of the toolkit's network, by its name there."""
    return {
        architecture: {name: tuple(shape) for name, shape in json.loads(str(text)).items()}
        for architecture, text in reference("shapes")
    }


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = SEED) -> dict[str, NDArray[np.generic]]:
    """Draw every tensor by its own name: statistics that are not trivial, outputs that do not vanish."""
    return {name: _tensor(name, shape, _generator(name, seed)) for name, shape in shapes.items()}


def pictures(seed: int = SEED, size: tuple[int, int] = (256, 128), batch: int = 2) -> NDArray[np.float32]:
    """Draw normalised pictures [B, 3, *size] of coarse squares: white noise looks alike once pooled."""
    side = 64 if size[0] % 64 == 0 else 32
    coarse = _generator("pictures", seed).normal(scale=2, size=(batch, 3, size[0] // side, size[1] // side))
    return np.kron(coarse, np.ones((side, side))).astype(np.float32)


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _tensor(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.generic]:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.array(1, np.int64)
    if kind == "running_var" or (kind == "weight" and len(shape) == 1):
        drawn = generator.uniform(0.5, 1.5, shape)
        if ".NL_" in name:  # a non-local block multiplies features by features twice
            drawn *= 0.001
    elif kind.endswith("weight"):
        drawn = generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    else:
        drawn = generator.normal(scale=0.1, size=shape)
        if name.endswith(".p"):  # a power of generalised means
            drawn += 3
    return drawn.astype(np.float32)
