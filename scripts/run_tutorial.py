"""Run docs/tutorial.ipynb and keep what it prints and draws in the file, without progress bars and times.

python scripts/run_tutorial.py
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def execute(folder: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of its cells, which run in a folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        nbformat.write(execute(Path(temporary)), NOTEBOOK)
    sys.stderr.write(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes\n")
