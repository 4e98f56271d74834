"""Which device and which precision a computation runs in."""

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from resight.errors import UserError

KINDS = ("cpu", "cuda", "mps", "xpu")
"""Supported devices; a number after a colon selects one of several."""

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_device(name: str = "auto") -> torch.device:
    """Return the named device; ``auto`` is the first GPU, or the CPU if there is none.

    In a process started by torchrun, ``auto`` and ``cuda`` are its own GPU (``LOCAL_RANK``).

    Raises:
        UserError: the name is not a device, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and (local := os.environ.get("LOCAL_RANK")) is not None:
        name = f"cuda:{local}"
    if name.partition(":")[0] not in KINDS:
        raise UserError(f"There is no device '{name}'. Use --device {', '.join(KINDS)} or auto.")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"Device '{name}' cannot be used here: {reason.rstrip('.')}. Use --device cpu or auto."
        ) from None
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return ``float32`` or ``bfloat16``; ``auto`` is bfloat16 if the device computes in it."""
    if precision != "auto":
        return precision
    return "bfloat16" if computes_bfloat16(device) else "float32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context for a forward pass in this precision.

    On a GPU, float32 is that in convolutions too, from now on: PyTorch has TF32 there, whose mantissa has 10
    bits and not 23.
    """
    if resolve_precision(precision, device) == "float32":
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware (if not, autocast slows a CPU down)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return capability.startswith("AVX512") and bool(torch.cpu._is_avx512_bf16_supported())


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the context for a part of a forward pass without autocast (``meta`` has none)."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def seed_draws(device: torch.device, seed: int) -> None:
    """Seed the CPU's and the device's generators; ``torch.manual_seed`` takes 1 ms to find others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type in ("mps", "xpu"):
        getattr(torch, device.type).manual_seed(seed)


@cache
def processor() -> str:
    """Return the processor's name, or its architecture if the system has no name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
