"""Commands that messages name can be typed as they stand, wherever ``resight`` is installed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resight.commands.main import app
from resight.program import command_line, same_processes


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``resight`` in an environment that is not active."""
    path = tmp_path / "clone" / ".venv" / "bin" / "resight"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path.with_name("python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_in_an_active_environment_it_is_called_by_name(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_line("serve", Path("a b")) == "resight serve 'a b'"


def test_elsewhere_it_is_called_by_its_path(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(program.parents[2])
    assert command_line("train", "x") == ".venv/bin/resight train x"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert command_line("train", "x") == f"{program} train x"


def test_another_resight_on_the_path_is_not_taken_for_this_one(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "resight"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert command_line("demo") == f"{program} demo"


def test_without_a_program_beside_python_the_name_is_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert command_line("demo") == "resight demo"


def test_help_joins_the_lines_of_a_description_and_names_no_empty_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    app(["gallery", "add", "--help"], result_action="return_value")
    shown = capsys.readouterr().out
    assert "'resight data readers' lists, other folders of images, or text files of image paths." in shown
    assert "--shards" in shown
    assert "[default: 1]" in shown
    assert not any(left in shown for left in ("default: ()", "default: False", "--empty-", "--no-json"))


def test_a_command_that_torchrun_started_is_repeated_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_processes("train", "x").endswith("resight train x")
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert same_processes("train", "a b") == "torchrun --nproc-per-node 4 -m resight train 'a b'"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert same_processes("train", "x") == "torchrun (with its options) -m resight train x"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_full_disk_under_the_output_is_a_sentence(
    json: tuple[str, ...], unbuffered: str, tmp_path: Path
) -> None:
    command = (
        f"ulimit -f 1; exec {sys.executable} -m resight recipe list {' '.join(json)} > {tmp_path / 'list'}"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    ended = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "resight: Cannot write the output: File too large.\n"


def test_it_can_do_without_an_output() -> None:
    command = f"exec {sys.executable} -m resight recipe list >&-"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_a_reader_that_has_enough_is_no_error() -> None:
    line = f"{sys.executable} -m resight recipe list | head -n 1"
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")


def test_ctrl_c_while_the_program_is_imported_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "resight", "--help"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell ignores Ctrl-C in what it runs in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "resight: interrupted.\n")
