"""How the process reuses memory that tensors have freed."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of mallopt, from glibc's malloc.h


@cache
def keep_freed_memory() -> bool:
    """Make the process reuse freed memory instead of handing every large tensor back to the kernel.

    By default glibc maps each large allocation anew, and the kernel clears it page by page at first use: on a
    CPU, that takes longer than the arithmetic of a small network. The memory in use at the peak stays with
    the process until it ends. Returns False, and does nothing, where the C library is not glibc (macOS,
    Windows, musl).
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 1 << 26))
    return all(library.mallopt(*setting) for setting in settings)


def available_memory() -> int | None:
    """Return how many bytes this machine can still give to a process; None if it does not say."""
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
