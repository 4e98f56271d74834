"""``make`` installs PyTorch from the index of CPU builds or from the package index, and says the size."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "install_torch.py"
WHEEL = "torch-2.13.1-py3-none-any.whl"
NOTHING_LISTENS = "http://127.0.0.1:9/whl/cpu"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        pass


def add_index(folder: Path, build: str) -> None:
    """Write a package index that has a torch whose only content is the name of its build."""
    page = folder / "torch"
    page.mkdir(parents=True)
    (page / "index.html").write_text(
        f'<!DOCTYPE html><html><body><a href="{WHEEL}">{WHEEL}</a></body></html>'
    )
    about = "torch-2.13.1.dist-info"
    with zipfile.ZipFile(page / WHEEL, "w") as wheel:
        wheel.writestr("torch.py", f"build = {build!r}\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.1\n")
        wheel.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(
            f"{about}/RECORD", f"torch.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two indexes, cpu and pypi."""
    root = tmp_path_factory.mktemp("indexes")
    add_index(root / "cpu", "cpu")
    add_index(root / "pypi", "cuda")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip and nothing else."""
    folder = tmp_path_factory.mktemp("made") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def venv(environment: Path) -> Iterator[Path]:
    yield environment
    pip = [environment / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "torch"]
    subprocess.run(pip, check=True)
    (environment / ".torch").unlink(missing_ok=True)


def settings(server: str, **more: str) -> dict[str, str]:
    """Return an environment whose package index is the server's, without this machine's settings of pip."""
    others = ("PIP_", "TORCH_INDEX", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    ours = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{server}/pypi", "PIP_NO_CACHE_DIR": "1"}
    return kept | ours | {"PATH": "/usr/bin:/bin"} | more


def build_of(venv: Path) -> str:
    """Return which build was installed."""
    python = [venv / "bin" / "python", "-c", "import torch; print(torch.build)"]
    return subprocess.run(python, check=True, capture_output=True, text=True).stdout.strip()


def make(venv: Path, environment: dict[str, str]) -> str:
    """Have make install PyTorch alone, and return what it printed."""
    command = ["make", "-s", f"VENV={venv}", f"{venv}/.torch"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_takes_the_index_that_answers(server: str, venv: Path) -> None:
    index = f"{server}/cpu"
    assert make(venv, settings(server, TORCH_INDEX=index)) == f"PyTorch comes from {index}.\n"
    assert build_of(venv) == "cpu"
    assert make(venv, settings(server)) == ""  # it is there now


def test_make_takes_the_package_index_where_the_other_cannot_be_reached(server: str, venv: Path) -> None:
    said = make(venv, settings(server, TORCH_INDEX=NOTHING_LISTENS))
    assert said.startswith(f"{NOTHING_LISTENS} does not answer.\nPyTorch comes from the package index: ")
    assert "GB" in said or "MB" in said
    assert build_of(venv) == "cuda"


@pytest.mark.skipif(sys.platform != "linux", reason="the drivers of NVIDIA's GPUs are looked for on Linux")
def test_with_a_gpu_the_package_index_is_used(server: str, venv: Path, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    said = make(venv, settings(server, PATH=f"{tmp_path}:/usr/bin:/bin"))
    assert said == "PyTorch comes from the package index: 3 GB to download, as it brings CUDA.\n"
    assert build_of(venv) == "cuda"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_torch", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_index_without_torch_does_not_answer(server: str, script: ModuleType) -> None:
    assert script.answers(f"{server}/cpu/")
    assert not script.answers(f"{server}/nothing")
    assert not script.answers("no address")


def test_an_index_that_says_nothing_is_not_waited_for(script: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not script.answers(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)


def test_there_is_no_gpu_where_the_driver_fails(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert not script.has_gpu()
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{shutil.which('sh', path='/usr/bin:/bin')}\nexit 9\n")
    tool.chmod(0o755)
    assert not script.has_gpu()
