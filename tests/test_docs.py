"""What the docs, README and CONTRIBUTING say to type works: recipes, commands, Python, links and anchors."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import unicodedata
from pathlib import Path

import pytest
import yaml

import resight
from resight.commands.main import app
from resight.tables.reading import load_table
from resight.training.reading import load_recipe, recipe_files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
"""Made by scripts/docs_pages.py and ignored by git; the tests make these pages anew."""

PAGES = {
    page: page.read_text()
    for page in (
        *sorted(page for page in DOCS.rglob("*.md") if GENERATED not in page.parents),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    )
}
FENCE = re.compile(r"(?ms)^(?P<mark><!-- [^\n]* -->\n)?```(?P<language>[^\n`]*)\n(?P<body>.*?)^```")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
READERS_OWN = ("mine.yaml",)
"""Recipes that a reader writes."""


def blocks(language: str) -> dict[str, tuple[Path, str, bool]]:
    """Return the fenced blocks of a language: page, text, and whether it is marked as run by a test."""
    return {
        f"{page.relative_to(ROOT)}-{number}": (page, found["body"], "a test runs" in (found["mark"] or ""))
        for page, text in PAGES.items()
        for number, found in enumerate(
            found for found in FENCE.finditer(text) if found["language"] == language
        )
    }


def shell_lines() -> set[str]:
    """Return the lines of the shell blocks; loop variables (``$seed``) become numbers."""
    lines: set[str] = set()
    for text in PAGES.values():
        for found in FENCE.finditer(text):
            if found["language"] in ("sh", "console", ""):
                body = found["body"].replace("\\\n", " ")
                lines |= {re.sub(r"\$\w+", "0", line).strip("$ ") for line in body.splitlines()}
    return lines


def sentences() -> set[str]:
    """Return the commands that stand in a sentence or in a table."""
    texts = [FENCE.sub("", text) for page, text in PAGES.items() if page.name != "CHANGELOG.md"]
    return {" ".join(found.split()) for text in texts for found in re.findall(r"`(resight\s[^`]+)`", text)}


RECIPES = blocks("yaml")
PYTHON = blocks("python")
LINES = shell_lines()
TORCHRUN = re.compile(r"^(srun )?torchrun .*-m (?=resight )")
TYPED = sorted(
    TORCHRUN.sub("", line) for line in LINES if line.startswith("resight ") or TORCHRUN.match(line)
)
MENTIONED = sorted(sentences() - set(TYPED))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_together(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPES[name][1])
    if "\nrows:" not in RECIPES[name][1]:
        load_recipe(path)
        return
    for row in load_table(str(path)).rows:  # a table
        for recipe in {row.recipe, f"{row.recipe}-fast"} & recipe_files().keys():
            load_recipe(recipe, row.overrides if row.fast is None or recipe == row.recipe else row.fast)


@pytest.mark.parametrize("name", PYTHON)
def test_python_compiles_and_finds_what_it_imports(name: str) -> None:
    for node in ast.walk(ast.parse(PYTHON[name][1])):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")  # a module, or an error
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "resight"
        ):
            assert hasattr(resight, node.attr), f"resight has no {node.attr}"


@pytest.mark.parametrize("name", [name for name in PYTHON if PYTHON[name][2] and "README" not in name])
def test_python_that_is_marked_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's block has a test of its own, in test_readme.py."""
    monkeypatch.chdir(tmp_path)
    exec(compile(PYTHON[name][1], name, "exec"), {})


@pytest.mark.parametrize("name", blocks("json"))
def test_json_can_be_read(name: str) -> None:
    json.loads(blocks("json")[name][1])


@pytest.mark.parametrize("name", blocks("bash"))
def test_a_script_is_valid_bash(name: str) -> None:
    subprocess.run(["bash", "-n"], input=blocks("bash")[name][1], text=True, check=True)


@pytest.mark.parametrize("name", blocks("yml"))
def test_other_yaml_can_be_read(name: str) -> None:
    assert all(yaml.safe_load_all(blocks("yml")[name][1]))


def understood(command: str) -> None:
    """The command line takes it; a recipe that it names is there and takes its settings."""
    words = shlex.split(command, comments=True)[1:]
    called, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    if called.__name__ not in ("train", "show") or bound.arguments.get("resume"):
        return  # parsing was all there is to check: only these two name a recipe
    recipe = bound.arguments.get("recipe", bound.arguments.get("name"))
    if not recipe.isupper() and recipe not in READERS_OWN:
        load_recipe(recipe, bound.arguments.get("overrides", ()))


@pytest.mark.parametrize("command", TYPED)
def test_a_command_in_a_block_is_understood(command: str) -> None:
    understood(command)


@pytest.mark.parametrize("command", MENTIONED)
def test_a_command_in_a_sentence_exists(command: str) -> None:
    """The name alone ("`resight gallery compact` builds the graph") is enough there."""
    words = command.split()[1:]
    named, _, rest = app.parse_commands(words)
    if rest:
        understood(command)
    else:
        assert list(named) == words


def test_scripts_and_targets_are_there() -> None:
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text())
    text = "\n".join(PAGES.values())
    scripts = set(re.findall(r"python ((?:docs|benchmarks|scripts)/\S+?\.py)", text))
    made = {
        found
        for line in LINES | set(re.findall(r"`(make [^`]+)`", text))
        for found in re.findall(r"^make (\w+)", line)
    }
    assert scripts
    assert made
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    assert [target for target in made if target not in targets] == []


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as Python-Markdown and GitHub both make them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", text)):
        plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found


def test_links_and_anchors_are_there() -> None:
    wrong = []
    for page, text in PAGES.items():
        for link in ("".join(found) for found in LINK.findall(FENCE.sub("", text))):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if "://" in link:
                continue
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                wrong.append(f"{page.relative_to(ROOT)}: {link}")
    assert wrong == []


def test_pages_of_the_site_link_to_nothing_outside_of_it() -> None:
    """Pages of the repository, such as CONTRIBUTING.md, are not where the site is."""
    for page, text in PAGES.items():
        if DOCS in page.parents:
            for link in ("".join(found) for found in LINK.findall(text)):
                if "://" not in link and not link.startswith("#"):
                    assert DOCS in (page.parent / link).resolve().parents, f"{page.name}: {link}"


def test_the_site_shows_every_page() -> None:
    pages = {str(page.relative_to(DOCS)) for page in PAGES if DOCS in page.parents}
    generated = {
        f"generated/{name}.md" for name in ("tutorial", "commands", "routes", "contributing", "changelog")
    }
    named = re.findall(r'= "([^"]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(named) == sorted(pages | generated)


def test_generated_pages_have_every_command_and_every_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    importlib.import_module("docs_pages").main(tmp_path)
    commands = (tmp_path / "commands.md").read_text()
    for command in TYPED:
        named, _, _ = app.parse_commands(command.split()[1:])
        assert named == ("--help",) or f"# resight {' '.join(named)}\n" in commands
    assert "Table of Contents" not in commands
    routes = (tmp_path / "routes.md").read_text()
    assert "## POST /api/search\n" in routes
    assert "\n- `identity` (required): id of a stored crop\n" in routes
    assert (tmp_path / "tutorial.md").read_text().startswith("# ")
    assert "](docs/" not in (tmp_path / "contributing.md").read_text()


def test_the_python_reference_has_every_public_name() -> None:
    names = re.findall(r"(?m)^::: (\S+)$", (DOCS / "reference" / "python.md").read_text())
    assert {f"resight.{name}" for name in resight.__all__} <= set(names)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_options_in_sentences_exist() -> None:
    """An option that stands alone, as `--rerank`, is one of some command, or of another program."""
    others = {"--help", "--index-url", "--decode_in_inference", "--strict", "--cases"}
    known = set(re.findall(r"--[a-z][\w-]*", app.generate_docs())) | others
    for page, text in PAGES.items():
        if "benchmarks" not in page.parts and page.name != "CHANGELOG.md":
            for option in re.findall(r"`(--[a-z][\w-]*)", FENCE.sub("", text)):
                assert option in known, f"{page.relative_to(ROOT)}: {option}"
