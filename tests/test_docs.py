"""Every recipe, command and link in docs/ and in CONTRIBUTING.md is one that works."""

import re
import shlex
from pathlib import Path

import pytest

from resight.commands.main import app
from resight.training.reading import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = {
    page: page.read_text() for page in (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md")
}
RECIPES = {
    f"{page.stem}-{number}": block
    for page, text in PAGES.items()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
}
COMMANDS = sorted(
    {found for text in PAGES.values() for found in re.findall(r"(?m)(?:^ {4}|`)(resight [^`\n]+)", text)}
)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_together(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPES[name])
    load_recipe(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str) -> None:
    """The command line takes it; the recipe that it names is there and takes its settings."""
    words = [word for word in shlex.split(command, comments=True)[1:] if not word.isupper()]
    if words in (["recipe", "show"], ["score"], ["train"]):
        return  # the name alone, or with placeholders
    called, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    named = bound.arguments.get("recipe", bound.arguments.get("name", "mine.yaml"))
    if called.__name__ in ("train", "show") and named != "mine.yaml":
        load_recipe(named, bound.arguments.get("overrides", ()))


def test_links_and_pictures_are_there() -> None:
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
