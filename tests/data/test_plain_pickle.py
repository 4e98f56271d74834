"""Pickles are read without running anything that they name."""

import copyreg
import os
import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from python2 import python2_pickle

from resight.data.plain_pickle import read_plain_pickle
from resight.errors import UserError

CONTENT: dict[str, Any] = {
    "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "fine_labels": [3, 0, 2, 1],
    "names": ["apple", "bear"],
}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "train"
    path.write_bytes(content)
    return path


def check(found: dict[str, Any]) -> None:
    assert list(found) == ["data", "fine_labels", "names"]
    assert found["data"].dtype == np.uint8
    assert np.array_equal(found["data"], CONTENT["data"])
    assert found["fine_labels"] == [3, 0, 2, 1]


def test_what_python_2_wrote(tmp_path: Path) -> None:
    written = python2_pickle(CONTENT)
    ordinary = pickle.loads(written, encoding="bytes")  # the test's own bytes: that they are a good pickle
    assert np.array_equal(ordinary[b"data"], CONTENT["data"])
    found = read_plain_pickle(write(tmp_path, written))
    check(found)
    assert found["names"] == [b"apple", b"bear"]


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_python_3_writes(protocol: int, order: Literal["C", "F"], tmp_path: Path) -> None:
    content = CONTENT | {"data": np.array(CONTENT["data"], order=order)}
    check(read_plain_pickle(write(tmp_path, pickle.dumps(content, protocol=protocol))))


class Runs:
    """Unpickled in the ordinary way, this runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def attacks(mark: Path) -> dict[str, bytes]:
    """Return pickles that would make a file if anything in them were run."""
    command = f"touch {mark}"
    text = command.encode()
    short = b"\x8c" + bytes([len(text)]) + text
    imported = f"__import__('os').system('{command}')".encode()
    name = os.system.__module__.encode()
    return {
        "reduce": pickle.dumps(Runs(command), protocol=2),
        "inside the data": pickle.dumps({"data": Runs(command)}, protocol=4),
        "old opcode": b"(S'" + text + b"'\ni" + name + b"\nsystem\n.",
        "object opcode": b"(c" + name + b"\nsystem\nS'" + text + b"'\no.",
        "eval": b'c__builtin__\neval\n(S"' + imported + b'"\ntR.',
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93" + short + b"\x85R.",
        "another function of NumPy": b"cnumpy.core.multiarray\nfromfile\n(S'/etc/passwd'\ntR.",
        "a file of NumPy's": b"cnumpy\nsave\n(S'" + bytes(mark) + b"'\nK\x01tR.",
        "registered": b"\x80\x02\x82\xf0(S'" + text + b"'\ntR.",
        "a stranger's name": b"\x80\x02Psomebody\n.",
    }


@pytest.mark.parametrize("kind", attacks(Path("mark")))
def test_nothing_is_run(kind: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = write(tmp_path, attacks(mark)[kind])
    copyreg.add_extension(os.system.__module__, "system", 0xF0)
    try:
        with pytest.raises(UserError):
            read_plain_pickle(path)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 0xF0)
        copyreg.clear_extension_cache()
    assert not mark.exists()
    assert not Path(f"{mark}.npy").exists()


def test_the_attack_would_work_elsewhere(tmp_path: Path) -> None:
    pickle.loads(attacks(tmp_path / "mark")["reduce"])
    assert (tmp_path / "mark").exists()


def test_the_sentence_names_what_was_not_run(tmp_path: Path) -> None:
    path = write(tmp_path, attacks(tmp_path / "mark")["reduce"])
    with pytest.raises(
        UserError, match=r"train names \w+\.system, which plain data do not need.*Nothing was run"
    ):
        read_plain_pickle(path)


def test_damaged_and_other_files(tmp_path: Path) -> None:
    whole = python2_pickle(CONTENT)
    for length in range(0, len(whole), 7):
        with pytest.raises(UserError, match="cut short, damaged, or no pickle"):
            read_plain_pickle(write(tmp_path, whole[:length]))
    numbers = python2_pickle(CONTENT | {"data": np.zeros((2, 3), np.float64)})
    too_large = whole.replace(b"(J\x04\0\0\0", b"(J\x05\0\0\0")
    assert too_large != whole
    for written in (numbers, too_large):
        with pytest.raises(UserError, match="no pickle of plain data"):
            read_plain_pickle(write(tmp_path, written))
    with pytest.raises(UserError, match="holds no dictionary, but list"):
        read_plain_pickle(write(tmp_path, python2_pickle([1])))
    with pytest.raises(UserError, match="nowhere cannot be read: No such file"):
        read_plain_pickle(tmp_path / "nowhere")
