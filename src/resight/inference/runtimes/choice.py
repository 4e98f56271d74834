"""Choosing the fastest runtime for a network: measured once, among those that return the same vectors."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from torch import Tensor
from torch.nn import functional

from resight import __version__
from resight.device import processor
from resight.errors import UserError
from resight.files import cache_folder, short_digest, sole_use, write_json
from resight.registry import Settings

Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]

Compute = Callable[[Tensor], Tensor]
"""Turns a batch of crops uint8 [B, H, W, 3] into descriptors [B, D]."""

FORMAT = "1"

DIFFERENCE = 5e-4
"""Largest difference from the reference in float32, of the largest number in it; OSNet-IBN has 2e-4."""

COSINE = {"float32": 1 - 1e-5, "bfloat16": 0.99}
"""Smallest cosine similarity to the reference's descriptor, by precision."""

BATCH = 32
"""Crops in a large batch; a quarter of that if a batch takes longer than ``SLOW``."""

SLOW = 0.5
"""Seconds."""

ROUNDS = 5
ROUND = 0.1
"""Seconds that each runtime computes in a round."""

MARGIN = 1.05
"""How many times as fast as the reference another runtime must be to be used: less may be chance."""


class Choice(Settings):
    """The chosen runtimes, and the measurement.

    Attributes:
        one: runtime for a few crops.
        many: runtime for large batches.
        rates: runtime -> crops per second singly, and in large batches.
        refused: runtime -> why it is not used.
    """

    one: str
    many: str
    rates: dict[str, tuple[float, float]]
    refused: dict[str, str]


def machine_key(fingerprint: str, precision: str, threads: int) -> dict[str, Any]:
    """Return everything that a measurement depends on."""
    versions = {name: _version(name) for name in ("torch", "onnxruntime", "openvino")}
    return {
        "format": FORMAT,
        "model": fingerprint,
        "precision": precision,
        "threads": threads,
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "versions": {"resight": __version__} | versions,
    }


def kept_choice(key: Mapping[str, Any]) -> Choice | None:
    """Return the result of an earlier measurement; None if there is none."""
    try:
        content = json.loads(_result_file(key).read_text(encoding="utf-8"))
        return Choice.model_validate(content["choice"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, pydantic.ValidationError):
        return None


def choose(
    key: Mapping[str, Any], candidates: Mapping[str, Callable[[], Compute]], size: tuple[int, int]
) -> Choice:
    """Return the fastest runtimes, measured now unless the result of an earlier measurement is kept.

    A second process waits until the first has measured.

    Args:
        key: the result of ``machine_key``.
        candidates: runtime -> function that opens it; the first is the reference for the others' vectors.
        size: height and width of the crops.

    Raises:
        UserError: none can be opened, or none returns finite numbers.
    """
    with ExitStack() as stack:
        lock = _result_file(key).with_suffix(".lock")
        with suppress(UserError):  # if nothing can be kept there, there is nothing to wait for
            stack.enter_context(sole_use(lock, waiting="Another process measures runtimes: waiting for it."))
        if (kept := kept_choice(key)) is not None and set(kept.rates) | set(kept.refused) == set(candidates):
            return kept
        found = _measure(candidates, size, str(key["precision"]))
        with suppress(UserError):  # if it cannot be written, it is measured again next time
            write_json(_result_file(key), {"key": key, "choice": found.model_dump()})
        return found


def sample_crops(size: tuple[int, int], count: int = 8) -> Tensor:
    """Return generated crops uint8 [count, H, W, 3]: by turns noise and smooth shades."""
    height, width = size
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (count, height, width, 3), np.uint8)
    rows, columns = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 2, width)[None, :, None]
    for row in range(1, count, 2):
        shades = np.sin(rows * random.uniform(1, 4) + columns + random.uniform(0, 6, 3))
        noise[row] = np.rint(127.5 + 120 * shades).astype(np.uint8)
    return torch.from_numpy(noise)


def difference(found: Tensor, expected: Tensor, precision: str = "float32") -> str | None:
    """Return how descriptors [B, D] differ from the expected ones; None if only by rounding."""
    found, expected = found.float().cpu(), expected.float().cpu()
    if found.shape != expected.shape:
        return f"it returns an array {tuple(found.shape)} instead of {tuple(expected.shape)}"
    if not torch.isfinite(found).all():
        return "it returns NaN or infinity"
    cosine = least_cosine(found, expected)
    largest = ((found - expected).abs().amax(1) / expected.abs().amax(1).clamp(min=1e-12)).max().item()
    if cosine < COSINE[precision] or (precision == "float32" and largest > DIFFERENCE):
        return f"its vectors differ by {largest:.1e} of the largest number (cosine {cosine:.6f})"
    return None


def least_cosine(found: Tensor, expected: Tensor) -> float:
    """Return the smallest cosine similarity of the rows of two arrays [B, D], however short they are."""
    scale = expected.abs().amax(1, keepdim=True).clamp(min=torch.finfo(expected.dtype).tiny)
    return functional.cosine_similarity(found / scale, expected / scale).min().item()


def _measure(
    candidates: Mapping[str, Callable[[], Compute]], size: tuple[int, int], precision: str
) -> Choice:
    crops = sample_crops(size)
    opened: dict[str, Compute] = {}
    refused: dict[str, str] = {}
    expected: Tensor | None = None
    for name, make in candidates.items():
        try:
            compute = make()
            found = compute(crops)
        except UserError as error:
            refused[name] = str(error)
            continue
        if (reason := difference(found, found if expected is None else expected, precision)) is not None:
            refused[name] = reason
            continue
        expected = found if expected is None else expected
        opened[name] = compute
    if not opened:
        raise UserError(
            "No runtime can compute this network: "
            + "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        )
    ones = rates_in_turn(opened, crops[:1])
    large = sample_crops(size, BATCH)
    slowest = max(seconds_of(compute, large) for compute in opened.values()) if len(opened) > 1 else 0
    batches = rates_in_turn(opened, large[: BATCH // 4] if slowest > SLOW else large)
    return Choice(
        one=_fastest(ones),
        many=_fastest(batches),
        rates={name: (ones[name], batches[name]) for name in opened},
        refused=refused,
    )


def rates_in_turn(computes: Mapping[str, Compute], crops: Tensor) -> dict[str, float]:
    """Return each runtime's crops per second: the median of rounds in which they take turns."""
    repeats = {name: max(1, int(ROUND / seconds_of(compute, crops))) for name, compute in computes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in computes}
    for _ in range(ROUNDS):
        for name, compute in computes.items():
            seconds[name].append(seconds_of(compute, crops, repeats[name]))
    return {name: round(len(crops) / float(np.median(found)), 1) for name, found in seconds.items()}


def seconds_of(compute: Compute, crops: Tensor, repeats: int = 1) -> float:
    """Return the mean seconds per batch."""
    start = perf_counter()
    for _ in range(repeats):
        compute(crops)
    return (perf_counter() - start) / repeats


def _fastest(rates: Mapping[str, float]) -> str:
    first, best = next(iter(rates)), max(rates, key=lambda name: rates[name])
    return best if rates[best] > MARGIN * rates[first] else first


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _result_file(key: Mapping[str, Any]) -> Path:
    name = short_digest(json.dumps(key, sort_keys=True).encode())
    return cache_folder() / "runtimes" / f"{name}.json"
