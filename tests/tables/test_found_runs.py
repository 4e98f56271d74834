"""Finished and interrupted runs in a folder: which of them a table uses."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from resight.errors import UserError
from resight.files import write_json
from resight.tables.collecting import collect
from resight.tables.plan import TablePlan, make_plan
from resight.tables.results import TableResult
from resight.tables.sheets import footnotes


@pytest.fixture
def copied(ran: tuple[TablePlan, TableResult], tmp_path: Path) -> Path:
    """A copy of the folder of the finished runs."""
    return Path(shutil.copytree(ran[0].request.out, tmp_path / "out"))


def test_runs_of_another_version_are_refused_or_named(
    request_for: Any, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.__version__", "9.9")
    with pytest.raises(UserError, match=r"is of Resight .*; this is 9\.9"):
        make_plan(request_for(out=copied))
    plan = make_plan(request_for(out=copied, other_versions=True))
    assert all(job.complete for job in plan.jobs.values())
    result = collect(plan, {})
    [theirs] = {run.versions["resight"] for run in result.runs}
    assert f"Runs of other versions than 9.9 are among these: {theirs}." in footnotes(result)


def test_a_damaged_file_is_named(request_for: Any, copied: Path) -> None:
    scores = sorted((copied / "runs").glob("*/scores-*.json"))[0]
    scores.write_text("{")
    plan = make_plan(request_for(out=copied))
    with pytest.raises(
        UserError, match=rf"{scores} is damaged: .*\. Remove it, and the run is tested again\."
    ):
        collect(plan, {})
    info = scores.with_name("run.json")
    info.write_text("1")
    with pytest.raises(UserError, match=rf"{info} is damaged: .* remove the folder {info.parent} and train"):
        make_plan(request_for(out=copied))


def test_a_run_is_found_under_another_name_of_its_recipe(request_for: Any, copied: Path) -> None:
    for folder in list((copied / "runs").iterdir()):
        if folder.is_dir():
            folder.rename(folder.with_name(f"mine-{folder.name}"))
    assert all(job.complete for job in make_plan(request_for(out=copied)).jobs.values())


def test_workers_end_with_the_command_that_started_them(request_for: Any, tmp_path: Path) -> None:
    request = request_for(out=tmp_path, runs=20)
    write_json(tmp_path / "request.json", request.model_dump(mode="json", by_alias=True))
    arguments = [str(tmp_path / "request.json"), str(tmp_path / "reasons.json")]
    starts = (
        "import os, subprocess, sys, time;"
        "command = [sys.executable, '-m', 'resight.tables.worker', *sys.argv[1:], str(os.getpid())];"
        "print(subprocess.Popen(command, stderr=subprocess.DEVNULL).pid, flush=True);"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starts, *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    wait_for(lambda: list(tmp_path.glob("runs/*/run.json")))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_running(worker))
    assert not (tmp_path / "reasons.json").exists()
    assert len(list(tmp_path.glob("runs/*/run.json"))) < 40


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
