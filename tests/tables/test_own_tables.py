"""Tables of a user's own, which may add rows to one that comes with Resight."""

from pathlib import Path

import pytest
from calling import call, call_json

from resight.errors import UserError
from resight.tables.reading import load_table

OWN = """
base: sona/table5
title: SONA and mine
reference: BL
rows:
  - {name: mine, recipe: mine.yaml, set: ["seed=3"], published: null}
claims:
  - {text: Mine helps., row: mine, over: BL}
"""


@pytest.fixture
def own(tmp_path: Path, recipe: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(recipe.read_text())
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


def test_rows_and_claims_are_added_to_those_of_the_base(own: Path) -> None:
    table, base = load_table(str(own)), load_table("sona/table5")
    assert (table.title, table.source, table.columns) == ("SONA and mine", base.source, base.columns)
    assert table.rows[:-1] == base.rows
    assert table.rows[-1].recipe == str(own.parent / "mine.yaml")
    assert [claim.row for claim in table.claims[len(base.claims) :]] == ["mine"]


def test_a_row_of_ones_own_is_trained(
    own: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", people, "--runs", 1, "--out", tmp_path / "runs", "--device", "cpu", "--fast")
    found = call_json(capsys, "reproduce", own, *options, "--rows", "mine", "--write", tmp_path / "written")
    [row] = found["rows"]
    assert (found["name"], row["name"], row["recipe"]) == ("own", "mine", "mine")
    assert row["cells"][0][0]["ours"]["mean"] > 0
    assert (tmp_path / "written" / "own-people.md").is_file()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sona/table5", "sona/tabel5", r"Unknown table 'sona/tabel5'\. Did you mean 'sona/table5'\?"),
        ("published:", "publishd:", r"rows\.\d+\.publishd: unknown key\. Did you mean 'published'\?"),
        ("title:", "titel:", r"  titel: unknown key\. Did you mean 'title'\?"),
        ("name: mine", "name: BL", "two rows are named 'BL'"),
        ("row: mine", "row: thine", "the claim 'Mine helps.' names a row or metric that is not there"),
        ("published: null", 'published: "1"', "row 'mine' has 1 figures for 16 columns"),
        ("rows:", "rows: [", "cannot be read"),
        (OWN, "- a list", "should be a mapping with the keys base, title"),
        (OWN, "title: a", "  columns: is missing"),
        ("  - {name: mine", "  mine: {name: mine", "rows: Input should be a valid tuple"),
    ],
)
def test_mistakes_are_named(own: Path, old: str, new: str, message: str) -> None:
    own.write_text(OWN.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_table(str(own))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"The table nowhere\.yaml cannot be read: .*No such file"):
        call("reproduce", "nowhere.yaml")
