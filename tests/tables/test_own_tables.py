"""Tables of a user's own, which may add rows to one that comes with Resight."""

import json
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
  - {name: mine, recipe: mine.yaml, set: ["model.regions=false"], published: null}
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


def test_costs_are_of_the_file_that_the_row_names(
    own: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named_like_another = own.parent / "han-large.yaml"
    named_like_another.write_text(recipe.read_text())
    row = {"name": "mine", "recipe": "han-large.yaml", "cost": ["model.feature_size=8"]}
    own.write_text(json.dumps({"title": "Mine", "columns": [{"metrics": ["flops"]}], "rows": [row]}))
    found = call_json(capsys, "reproduce", own)
    assert found["rows"][0]["cells"][0][0]["ours"]["mean"] < 1e8
    call("reproduce", own)
    assert "paper" not in capsys.readouterr().out
    row["cost"] = ["model.nope=1"]
    own.write_text(json.dumps({"title": "Mine", "columns": [{"metrics": ["flops"]}], "rows": [row]}))
    with pytest.raises(UserError, match=r"^Row 'mine': The recipe .* has a mistake:"):
        call("reproduce", own)


def test_sets_are_named_without_a_paper(own: Path, people: Path) -> None:
    columns = [{"data": name, "metrics": ["mAP"]} for name in ("market-1501", "dukemtmc-reid")]
    rows = [{"name": "mine", "recipe": "mine.yaml"}]
    own.write_text(json.dumps({"title": "Mine", "columns": columns, "rows": rows}))
    with pytest.raises(UserError, match=r"people is not the market-1501 that the table needs"):
        call("reproduce", own, "--data", f"market-1501={people}")
    with pytest.raises(UserError, match=r"unknown data set 'marcet-1501'\. Did you mean 'market-1501'"):
        call("reproduce", own, "--data", f"marcet-1501={people}")


@pytest.mark.parametrize(
    "plot",
    [
        {"kind": "bars", "metric": "mAp"},
        {"kind": "cost"},
        {"kind": "heat"},
        {"kind": "heat", "metric": "rank20"},
    ],
)
def test_a_plot_that_cannot_be_drawn_is_refused(own: Path, plot: dict[str, str]) -> None:
    own.write_text(OWN + f"plot: {json.dumps(plot)}\n")
    with pytest.raises(UserError, match=r"  the table: .*plot"):
        load_table(str(own))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sona/table5", "sona/tabel5", r"Unknown table 'sona/tabel5'\. Did you mean 'sona/table5'\?"),
        ("published:", "publishd:", r"row 'mine': publishd: unknown key\. Did you mean 'published'\?"),
        ("title:", "titel:", r"  titel: unknown key\. Did you mean 'title'\?"),
        ("name: mine", "name: BL", "two rows are named 'BL'"),
        (
            "row: mine",
            "row: thine",
            "claim 'Mine helps.': no row with a recipe is named 'thine'. Did you mean 'mine'",
        ),
        ("published: null", 'published: "1"', "row 'mine' has 1 figures for 16 columns"),
        ("rows:", "rows: [", "is no YAML"),
        ("base:", "title: twice\nbase:", "duplicate key"),
        ("sona/table5", "other.yaml", "it must be a table that comes with Resight"),
        ('["model.regions=false"]', '["seed=3"]', "row 'mine': set: the seeds are 0, 1"),
        (
            "row: mine, ",
            "row: mine, sectoin: 3, ",
            r"claim 'Mine helps.': sectoin: unknown key\. Did you mean 'section'",
        ),
        ("name: mine", 'name: ""', "rows.13.name: String should have at least 1 character"),
        ("recipe: mine.yaml, ", "", "row 'mine' needs a recipe, published figures"),
        (OWN, "- a list", "should be a mapping with the keys base, title"),
        (OWN, "title: a", "  columns: is missing"),
        (OWN, "{title: a, columns: [], rows: []}", "  columns: Tuple should have at least 1 item"),
        ("title:", "columns: []\ntitle:", "has the columns of its base"),
        ("reference: BL", "reference: mien", "no row 'mien' to compare with. Did you mean 'mine'"),
        ("  - {name: mine", "  mine: {name: mine", "rows: should be a list; got"),
    ],
)
def test_mistakes_are_named(own: Path, old: str, new: str, message: str) -> None:
    own.write_text(OWN.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_table(str(own))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"The table file nowhere\.yaml cannot be read: No such file"):
        call("reproduce", "nowhere.yaml")
