"""The tutorial, a notebook, runs from top to bottom, and prints and draws what it says."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What the cells print and draw, in order."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIGHT_CACHE", str(folder / "cache"))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_it_trains_scores_and_searches(outputs: list[dict]) -> None:
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "120 crops to train on\n60 queries, 78 crops in the gallery\n" in printed
    assert re.search(r"rank-1 [\d.]+%, mAP [\d.]+%, 60 queries\n", printed)
    assert re.search(r"\n(\d+) new crops, \1 in all\n", printed)
    assert len(re.findall(r"(?m)^-?[01]\.\d{3}  camera [23]  person \d+$", printed)) == 6


def test_it_draws_a_ranked_list(outputs: list[dict]) -> None:
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1


def test_the_notebook_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 100_000
