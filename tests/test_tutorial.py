"""The tutorial, a notebook, runs from top to bottom, and prints and draws what it says."""

import importlib
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The code cells, with what they print and draw."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIGHT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")  # threads of a busy machine wait for each other
        patch.syspath_prepend(str(ROOT / "scripts"))
        notebook = importlib.import_module("run_tutorial").execute(folder)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_trains_scores_and_searches(cells: list[Any]) -> None:
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert "120 crops to train on\n60 queries, 78 crops in the gallery\n" in printed
    assert re.search(r"rank-1 [\d.]+%, mAP [\d.]+%, 60 queries\n", printed)
    assert re.search(r"\n(\d+) new crops, \1 in all\n", printed)
    assert len(re.findall(r"(?m)^-?[01]\.\d{3}  camera [23]  person \d+$", printed)) == 6


def test_it_draws_a_ranked_list(cells: list[Any]) -> None:
    assert ["image/png" in output.get("data", {}) for cell in cells[-2:] for output in cell.outputs] == [True]


def test_the_notebook_has_the_outputs_of_its_cells_and_is_small() -> None:
    """``python scripts/run_tutorial.py`` makes them; where a cell has changed since, it has to run again."""
    path = ROOT / "docs" / "tutorial.ipynb"
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size < 100_000
