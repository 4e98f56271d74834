"""The log: appended, cut back to the checkpoint, never broken by a kill."""

import json
from pathlib import Path
from typing import IO, Any

import pytest

from resight.errors import UserError
from resight.training.metrics import MetricsLog, read_metrics


def test_lines_after_the_checkpoint_and_a_cut_line_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(tmp_path, 0) as log:
        for step in (10, 20, 30):
            log.write("steps", step, loss=1 / step, terms={"a": 1.0})
    path.write_text(path.read_text() + '{"kind": "steps", "step": 4')
    assert [line["step"] for line in read_metrics(path)] == [10, 20, 30]
    with MetricsLog(tmp_path, 20) as log:
        assert log.has("steps", 20)
        assert not log.has("steps", 30)
        assert not log.has("evaluation", 20)
        log.write("steps", 30, loss=7.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(10, 0.1), (20, 0.05), (30, 7.0)]
    assert lines[0] == {"kind": "steps", "step": 10, "loss": 0.1, "terms": {"a": 1.0}}


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.open

    def open_on_a_full_disk(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:
        return original(Path("/dev/full") if mode == "ab" else path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    full = pytest.raises(UserError, match=r"Cannot write .*metrics\.jsonl: No space left on device")
    with MetricsLog(tmp_path, 0) as log, full:
        log.write("steps", 1, loss=1.0)


def test_tensorboard_gets_every_number_by_path(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with MetricsLog(tmp_path, 0) as log:
        log.write("steps", 10, loss=0.5, terms={"a": 0.25}, stage="main")
    events = reading.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["steps/loss", "steps/terms/a"]
    (event,) = events.Scalars("steps/terms/a")
    assert (event.step, event.value) == (10, 0.25)
