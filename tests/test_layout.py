"""The rooms import in one direction, and the command line loads only what it needs."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "resight"
TOOLS = {
    "errors",
    "imaging",
    "folders",
    "image_files",
    "left_out",
    "timestamps",
    "registry",
    "seeds",
    "device",
    "draws",
    "processes",
    "memory",
    "program",
    "progress",
    "files",
    "names",
    "interruption",
    "threads",
    "__init__",
    "__version__",
}
MAY_USE = {
    "data": set(),
    "people": {"data"},
    "models": set(),
    "losses": {"models"},
    "evaluation": {"data"},
    "training": {"data", "people", "models", "losses", "evaluation"},
    "inference": {"data", "models", "training"},
    "report": {"data", "people", "models", "losses", "evaluation", "training", "inference", "features"},
    "features": {"data", "inference"},
    "gallery": {"data", "evaluation", "inference", "features"},
    "ingest": {"inference", "gallery"},
    "service": {"models", "inference", "gallery", "report"},
    "recipes": set(),
    "tables": {"data", "people", "models", "losses", "evaluation", "training", "report"},
}


def imported_rooms(file: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("resight.")}
    return rooms


@pytest.mark.parametrize("room", sorted(MAY_USE))
def test_a_room_imports_only_from_rooms_before_it(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        wrong = imported_rooms(file) - MAY_USE[room] - TOOLS - {room}
        assert not wrong, f"{file.relative_to(PACKAGE)} imports from {sorted(wrong)}"


def test_every_room_has_its_rule() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"commands"}
    assert rooms == set(MAY_USE)


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for file in PACKAGE.rglob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_losses_see_only_the_representation() -> None:
    for file in (PACKAGE / "losses").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resight.models"):
                assert node.module == "resight.models.representation", file


def test_help_loads_nothing_heavy() -> None:
    """What makes ``resight --help`` answer at once; benchmarks/startup.py measures it."""
    code = (
        "import sys; sys.argv = ['resight', '--help']\n"
        "from resight.commands.main import main\n"
        "try:\n    main()\n"
        "finally:\n    heavy = {'torch', 'numpy', 'pydantic', 'matplotlib', 'PIL'}\n"
        "    print(*heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "train" in done.stdout
    assert not done.stderr.strip()


def test_a_gallery_is_looked_into_without_pytorch() -> None:
    code = "import sys, resight.gallery.gallery; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
