"""Install the PyTorch that Resight is tested with into the environment of the Python that runs this.

PyTorch's package for Linux brings gigabytes of CUDA. Where there is no NVIDIA GPU, PyTorch's own index gives
the build for the CPU instead, if it answers within seconds. TORCH_INDEX is an environment variable that names
another index; if it is empty, the package index is used.
"""

import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from threading import Thread

SERIES = "2.13."
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SECONDS = 8.0


def main() -> int:
    """Say where PyTorch comes from and how large it is, install it, and return pip's exit status."""
    if installed().startswith(SERIES):
        return 0
    linux, gpu = platform.system() == "Linux", has_gpu()
    index = os.environ.get("TORCH_INDEX", CPU_INDEX if linux and not gpu else "")
    if index and answers(index):
        size = ", 200 MB" if index == CPU_INDEX else ""
        print(f"PyTorch comes from {index}{size}.", flush=True)
        return install("--index-url", index)
    if index:
        print(f"{index} does not answer.", flush=True)
    size = "3 GB to download, as it brings CUDA" if linux else "100 MB"
    print(f"PyTorch comes from the package index: {size}.", flush=True)
    return install()


def installed() -> str:
    """Return the version of the PyTorch that is there already, or ''."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def has_gpu() -> bool:
    """Tell whether there is an NVIDIA GPU with its driver."""
    tool = shutil.which("nvidia-smi")
    return tool is not None and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def answers(index: str, seconds: float = SECONDS) -> bool:
    """Tell whether a package index gives its page of PyTorch within some seconds."""
    found: list[bytes] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=seconds) as page:
                found.append(page.read(1))
        except (OSError, ValueError):
            pass

    asking = Thread(target=ask, daemon=True)  # finding a host's address knows no timeout of its own
    asking.start()
    asking.join(seconds)
    return bool(found and found[0])


def install(*options: str) -> int:
    """Run pip, and return its exit status."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, *options, f"torch=={SERIES}*"]).returncode


if __name__ == "__main__":
    sys.exit(main())
