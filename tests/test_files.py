"""Files that are whole or not there."""

import json
import os
import threading
from pathlib import Path

import pytest

from resight.files import sole_use, write_json


def test_json_keeps_other_alphabets_and_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xe4\xba\xba.jpg")  # the first is no UTF-8, the second is
    write_json(tmp_path / "names.json", {"a": name, "b": ["人", 1.5, None]})
    written = (tmp_path / "names.json").read_text(encoding="utf-8")
    assert "人" in written
    assert json.loads(written) == {"a": name, "b": ["人", 1.5, None]}
    assert [path.name for path in tmp_path.iterdir()] == ["names.json"]


def test_a_lock_is_refused_or_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, entered = tmp_path / "folder" / "lock", threading.Event()

    def wait() -> None:
        with sole_use(lock, waiting="Somebody else is in: waiting.") as free:
            assert free
            entered.set()

    with sole_use(lock) as free:
        assert free
        with sole_use(lock) as again:
            assert not again
        other = threading.Thread(target=wait, daemon=True)
        other.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    other.join(10)
    assert capsys.readouterr().err == "Somebody else is in: waiting.\n"
