"""``resight gallery add`` where nothing can be added."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

Run = Callable[..., Any]


def test_where_no_picture_can_be_read_there_is_no_gallery(run: Run, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "broken.jpg").write_bytes(b"no")
    error = run("add", tmp_path / "plain", "--model", weights, fails=True)
    assert "No crop can be added. Left out: a file of another format than those that are read: 1, " in error
    assert "broken.jpg is not a picture." in error
    gone = tmp_path / "gone.txt"
    gone.write_text("\n".join(f"{number}.jpg" for number in range(30)))
    error = run("add", gone, "--model", weights, "--json", fails=True)
    assert "a picture that cannot be read: 30, such as " in error
    assert "paths in a list are relative to the list's own folder" in error
    assert not (tmp_path / "gallery").exists()
    Image.new("RGB", (8, 16)).save(tmp_path / "plain" / "whole.png")
    added = run("add", gone, tmp_path / "plain", "--model", weights)
    assert (added["new"], len(added["refused"]), added["left_out"][0]["count"]) == (1, 31, 30)
    before = (tmp_path / "gallery" / "gallery.json").read_bytes()
    assert "No crop can be added" in run("add", gone, fails=True)
    assert (tmp_path / "gallery" / "gallery.json").read_bytes() == before
    assert run("info")["crops"] == 1
