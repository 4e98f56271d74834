"""A run that is killed, interrupted or out of disk goes on as if nothing had happened."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.training import loop, trainer
from resight.training.checkpoint import State, load_checkpoint, save_checkpoint
from resight.training.recipe import Recipe
from resight.training.run import Run
from resight.training.trainer import train

STEPS = 28


def trainings(*each: Sequence[object]) -> tuple[list[int], str]:
    """Run trainings one after the other, each a process; return their exit statuses, and what they said."""
    plan = json.dumps([[str(argument) for argument in arguments] for arguments in each])
    done = subprocess.run([sys.executable, tiny.__file__, plan], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Return the weights, the last checkpoint's tensors, and the log without speeds."""
    state = load_checkpoint(folder / "checkpoint.pt")
    tensors = {f"weights.{name}": value for name, value in load_file(folder / "weights.safetensors").items()}
    tensors |= {f"model.{name}": value for name, value in state["model"].items()}
    tensors |= {f"average.{name}": value for name, value in (state["average"] or {}).items()}
    for index, values in state["optimizer"]["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    log = [
        {key: value for key, value in line.items() if key != "crops_per_second"}
        for line in Run.open(folder).metrics()
    ]
    return tensors, log


def assert_same_bits(
    tensors: dict[str, torch.Tensor], others: dict[str, torch.Tensor], message: str = ""
) -> None:
    assert tensors.keys() == others.keys()
    different = [name for name, value in tensors.items() if not torch.equal(value, others[name])]
    assert not different, message


def assert_same_outcome(folder: Path, other: Path, message: str) -> None:
    tensors, log = outcome(folder)
    other_tensors, other_log = outcome(other)
    assert_same_bits(tensors, other_tensors, message)
    assert log == other_log, message


def test_killed_at_any_step_and_resumed_it_ends_in_the_same_bits(tiny_data: Path, tmp_path: Path) -> None:
    plan: list[Sequence[object]] = []
    first, second = random.randint(1, STEPS - 12), random.randint(1, 10)
    for precision in ("float32", "bfloat16"):
        whole, killed = tmp_path / f"whole-{precision}", tmp_path / f"killed-{precision}"
        options = ("--precision", precision)
        plan += [
            (tiny_data, whole, *options),
            (tiny_data, killed, *options, "--kill-at", first),
            (tiny_data, killed, *options, "--resume", "--kill-at", second),
            (tiny_data, killed, *options, "--resume"),
        ]
    statuses, messages = trainings(*plan)
    assert statuses == [0, -signal.SIGKILL, -signal.SIGKILL, 0] * 2, messages
    for precision in ("float32", "bfloat16"):
        message = f"{precision}, killed in pass {first}, resumed, killed in pass {second}"
        assert_same_outcome(tmp_path / f"whole-{precision}", tmp_path / f"killed-{precision}", message)


class Stopped(Exception):
    pass


def run(data: Path, folder: Path, recipe: Recipe | None = None, **options: Any) -> Run:
    options = {"device": "cpu", "log_steps": 2, "checkpoint_seconds": 0} | options
    return train(recipe or tiny.tiny_recipe(), open_benchmark(data), folder, **options)


def run_and_stop(step: int, data: Path, folder: Path, recipe: Recipe | None = None) -> None:
    """Begin a run that dies in that forward pass."""

    def die(number: int, _: object) -> None:
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "KILL_AT", step)
        patch.setattr(tiny.os, "kill", die)
        with pytest.raises(Stopped):
            run(data, folder, recipe)


@pytest.mark.parametrize(
    "step", [6, 7, 18, 19, STEPS]
)  # before and after the ends of an epoch and of a stage
def test_resumed_at_the_ends_of_epochs_and_stages(step: int, tiny_data: Path, tmp_path: Path) -> None:
    whole = run(tiny_data, tmp_path / "whole")
    run_and_stop(step, tiny_data, tmp_path / "stopped")
    resumed = run(tiny_data, tmp_path / "stopped", resume=True)
    assert_same_outcome(whole.folder, resumed.folder, f"stopped in pass {step}")
    assert [entry["step"] for entry in resumed.info["resumed"]] == [(step - 1) // 2 * 2 if step != 19 else 18]


def test_evaluation_between_epochs_changes_nothing_and_is_not_repeated(
    tiny_data: Path, tmp_path: Path
) -> None:
    recipe = tiny.tiny_recipe(evaluate_every=2)
    plain = run(tiny_data, tmp_path / "plain")
    run_and_stop(13, tiny_data, tmp_path / "evaluated", recipe)  # the first step after epoch 2
    evaluated = run(tiny_data, tmp_path / "evaluated", recipe, resume=True)
    assert_same_bits(outcome(plain.folder)[0], outcome(evaluated.folder)[0])
    lines = [line for line in evaluated.metrics() if line["kind"] == "evaluation"]
    assert [line["epoch"] for line in lines] == [2, 4]
    assert all(0 < line["mAP"] <= 1 for line in lines)


def test_a_run_that_is_complete_says_so(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tiny_data, tmp_path / "run").folder
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    run(tiny_data, folder, resume=True)
    assert "is complete (5 epochs)" in capsys.readouterr().err
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before


def test_a_run_killed_before_its_weights_were_written_writes_them(tiny_data: Path, tmp_path: Path) -> None:
    folder = run(tiny_data, tmp_path / "run").folder
    weights = load_file(folder / "weights.safetensors")
    (folder / "weights.safetensors").unlink()
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"finished": None}))
    assert run(tiny_data, folder, resume=True).complete
    assert_same_bits(load_file(folder / "weights.safetensors"), weights)


def test_resuming_with_another_recipe_or_other_data_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_and_stop(9, tiny_data, folder)
    changed = tiny.tiny_recipe(ema=0.99, precision="float32")
    with pytest.raises(UserError) as caught:
        run(tiny_data, folder, changed, resume=True)
    assert "  ema: 0.9 in the run, 0.99 now\n" in str(caught.value)
    assert "  precision: 'auto' in the run, 'float32' now\n" in str(caught.value)
    with pytest.raises(UserError, match="seed: 0 in the run, 3 now"):
        run(tiny_data, folder, seed=3, resume=True)
    fewer = tiny.make_crops(tmp_path / "fewer", persons=6, test_persons=3)
    with pytest.raises(UserError, match=r"data\.crops: 42 in the run, 36 now"):
        run(fewer, folder, resume=True)
    other = tiny.make_crops(tmp_path / "other", test_persons=3, seed=1)
    with pytest.raises(UserError, match=r"data\.images: "):
        run(other, folder, resume=True)
    renamed = tiny.tiny_recipe(description="told otherwise", evaluate_every=3)
    assert run(tiny_data, folder, renamed, resume=True).complete


def test_a_damaged_checkpoint_is_named(tiny_data: Path, tmp_path: Path) -> None:
    folder = run(tiny_data, tmp_path / "run").folder
    whole = (folder / "checkpoint.pt").read_bytes()
    other = io.BytesIO()
    torch.save([1], other)
    for content in (whole[: len(whole) // 2], bytes(len(whole)), b"<html>not found</html>", other.getvalue()):
        (folder / "checkpoint.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"checkpoint\.pt is not a readable checkpoint"):
            run(tiny_data, folder, resume=True)


def test_a_checkpoint_whose_optimiser_groups_the_parameters_otherwise_is_refused(
    tiny_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run_and_stop(9, tiny_data, folder, tiny.tiny_recipe(precision="float32"))
    state = load_checkpoint(folder / "checkpoint.pt")
    state["optimizer"]["param_groups"] *= 2
    save_checkpoint(state, folder / "checkpoint.pt")
    with pytest.raises(UserError, match=r"is of another version of Resight.* Begin a new run"):
        run(tiny_data, folder, tiny.tiny_recipe(precision="float32"), resume=True)


def test_a_folder_in_use_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    folder = run(tiny_data, tmp_path / "run").folder
    with pytest.raises(UserError, match="holds a run already") as caught:
        run(tiny_data, folder)
    assert f"resight train {folder} --resume" in str(caught.value)
    with pytest.raises(UserError, match="is not a run's folder"):
        run(tiny_data, tiny_data)
    with pytest.raises(UserError, match=r"nothing to resume: the folder .* does not exist"):
        run(tiny_data, tmp_path / "none", resume=True)


def test_a_run_that_was_killed_as_it_began_begins_anew(tiny_data: Path, tmp_path: Path) -> None:
    recipe = tiny.tiny_recipe()
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert run(tiny_data, tmp_path, recipe).complete
    users = tmp_path / "users"
    users.mkdir()
    (users / "recipe.yaml").write_text("base: softmax-fast\n")
    with pytest.raises(UserError, match="is not a run's folder"):
        run(tiny_data, users, recipe)
    assert (users / "recipe.yaml").read_text() == "base: softmax-fast\n"


def test_a_full_disk_leaves_the_last_checkpoint(tiny_data: Path, tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    run_and_stop(9, tiny_data, full, tiny.tiny_recipe(precision="float32"))
    kept = (full / "checkpoint.pt").read_bytes()
    statuses, messages = trainings((tiny_data, full, "--resume", "--disk", len(kept) - 1000))
    assert statuses == [1]
    assert f"resight: Cannot write {full / 'checkpoint.pt'}: File too large." in messages
    assert "The earlier checkpoint.pt is unharmed" in messages
    assert (full / "checkpoint.pt").read_bytes() == kept
    assert not [path for path in full.iterdir() if path.name.startswith(".")]
    for folder, resume in ((whole, False), (full, True)):
        run(tiny_data, folder, tiny.tiny_recipe(precision="float32"), resume=resume)
    assert_same_outcome(whole, full, "after a full disk")


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tiny_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(tiny.__file__).parent)!r}); import tiny, time\n"
        "tiny.Tiny.normalise = lambda self, pixels: time.sleep(0.1) or tiny.Network.normalise(self, pixels)\n"
        f"tiny.train_as_told([{str(tiny_data)!r}, {str(folder)!r}])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    log = folder / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert re.search(rf"^KeyboardInterrupt: Go on with: \S*resight train {folder} --resume$", messages, re.M)
    assert messages.count("Go on with") == 1
    assert 0 < load_checkpoint(folder / "checkpoint.pt")["step"] < STEPS
    whole = run(tiny_data, tmp_path / "whole", tiny.tiny_recipe(precision="float32")).folder
    resumed = run(tiny_data, folder, tiny.tiny_recipe(precision="float32"), resume=True).folder
    assert_same_bits(outcome(whole)[0], outcome(resumed)[0])


def test_ctrl_c_in_an_evaluation_interrupts_it(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")

    monkeypatch.setattr(trainer, "embed_benchmark", evaluate)
    with pytest.raises(KeyboardInterrupt, match=r"^Go on with: "):
        run(tiny_data, tmp_path / "run", tiny.tiny_recipe(evaluate_every=2))


@pytest.mark.parametrize("at", [12, STEPS])
def test_ctrl_c_while_an_epochs_last_checkpoint_is_written_is_obeyed(
    at: int, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(state: State, path: Path) -> None:
        save_checkpoint(state, path)
        if state["step"] == at:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop, "save_checkpoint", save)
    with pytest.raises(KeyboardInterrupt, match=r"^Go on with: "):
        run(tiny_data, tmp_path / "run", tiny.tiny_recipe(evaluate_every=2))
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == at
