"""Files that are whole or not there."""

import json
import os
from pathlib import Path

from resight.files import write_json


def test_json_keeps_other_alphabets_and_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xe4\xba\xba.jpg")  # the first is no UTF-8, the second is
    write_json(tmp_path / "names.json", {"a": name, "b": ["人", 1.5, None]})
    written = (tmp_path / "names.json").read_text(encoding="utf-8")
    assert "人" in written
    assert json.loads(written) == {"a": name, "b": ["人", 1.5, None]}
    assert [path.name for path in tmp_path.iterdir()] == ["names.json"]
