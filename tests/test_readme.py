"""The README's Python does what it says, and its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_ten_lines_of_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "crops").mkdir()
    random = np.random.default_rng(0)
    for person in range(1, 29):
        colours = random.integers(0, 256, (4, 2, 3))
        for camera in (1, 2):
            for frame in (1, 2):
                noisy = np.clip(colours + random.normal(0, 8, colours.shape), 0, 255).astype(np.uint8)
                name = f"{person:04d}_c{camera}s1_{frame:06d}_00.png"
                Image.fromarray(noisy).resize((64, 160)).save(tmp_path / "crops" / name)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 10
    exec(compile(block, "README.md", "exec"), {})
    assert re.search(r"rank-1 [\d.]+%, mAP [\d.]+%, 40 queries", capsys.readouterr().out)


def test_links_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
