"""``resight reproduce`` and ``resight sweep`` as a user types them."""

import json
from pathlib import Path

import pytest
from calling import call, call_json

from resight.errors import UserError
from resight.tables.grids import grid_table
from resight.tables.reading import table_files
from resight.tables.results import load_result


def test_tables_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {table["name"]: table for table in call_json(capsys, "reproduce", "--list")}
    assert set(listed) == set(table_files())
    assert listed["han/table1"]["data"] == []
    assert listed["sona/table5"]["data"] == ["cuhk03", "dukemtmc-reid", "market-1501"]
    assert (listed["sona/table5"]["rows"], listed["sona/table5"]["quoted"]) == (9, 4)


def test_han_costs_what_its_table_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call("reproduce", "han/table1", "--out", tmp_path, "--write", tmp_path, "--device", "cpu")
    out = capsys.readouterr().out
    for line in ("3.71e8 │ 3.68e8 │", "5.40e8 │ 5.33e8 │", "7.09e8 │ 7.01e8 │"):
        assert line in " ".join(out.split())
    assert "Paper: Li, Zhu, Gong" in out
    result = load_result(tmp_path / "han-table1.json")
    for row in result.rows:
        [[cell]] = row.cells
        assert cell.ours is not None
        assert cell.published is not None
        assert cell.ours.mean == pytest.approx(cell.published.value, rel=0.02)
    assert result.heading == "The cost of the three sizes of HAN"
    assert not result.runs


def test_what_is_missing_is_said(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Name a table, such as sona/table5"):
        call("reproduce")
    with pytest.raises(UserError, match="--jobs must be 1 or more"):
        call("reproduce", "han/table1", "--jobs", 0)
    for option in ("--out", "--write"):
        with pytest.raises(UserError, match=f"{option} names a folder, and {__file__} is none"):
            call("reproduce", "han/table1", option, __file__)
    with pytest.raises(UserError, match=r"Nothing of sn/table3 can run\.\nOurs: it starts from a network"):
        call("reproduce", "sn/table3", "--data", people, "--out", tmp_path)


def test_what_it_takes_is_said_before(
    people: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--data", people, "--fast", "--runs", 1, "--out", tmp_path, "--device", "cpu")
    found = call_json(capsys, "reproduce", "sal/table1", *options, "--rows", "1: softmax", "--dry-run")
    assert [(run["recipe"], run["rows"]) for run in found["runs"]] == [("softmax-fast", ["1: softmax"])]
    assert found["seconds"] > 0
    assert found["disk"] > 4e7
    assert found["conditions"] == ["on people instead of the paper's data", "by the -fast recipes"]
    assert not any(tmp_path.iterdir())
    chosen = [word for row in ("1: softmax", "2: quadruplet", "8: all") for word in ("--rows", row)]
    call("reproduce", "sal/table1", *options, *chosen, "--dry-run")
    said = capsys.readouterr().err
    assert "Cannot run 2: quadruplet: there is no recipe quadruplet-fast" in said
    assert "Cannot run 8: all: A batch of 8 persons is larger than the training set allows" in said


def test_a_table_of_which_nothing_can_run_is_an_error() -> None:
    with pytest.raises(UserError) as refused:
        call("reproduce", "sona/table3", "--dry-run")
    first, *reasons = str(refused.value).splitlines()
    assert first == "Nothing of sona/table3 can run."
    assert reasons
    assert len(reasons) == len(set(reasons))


def test_a_table_of_costs_trains_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call("reproduce", "han/table1", "--dry-run")
    assert "Nothing would be trained" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--fast",)])
def test_the_papers_costs_are_counted_without_data_and_weights(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = call_json(capsys, "reproduce", "sharp/table2", *options)
    [ours] = [row for row in found["rows"] if not row["quoted"]]
    assert [round(cell["ours"]["mean"], 2) for cell in ours["cells"][0]] == [0.51, 2.03, 8.13, 10.67]
    assert [cell["ours"] for cell in ours["cells"][1]] == [None, None]
    why = "no data: name its folder" if options else "weights of resnet50 are not on this machine"
    assert why in ours["missing"]["CUHK03 labelled"]


def test_a_grid_is_trained_and_drawn(
    recipe: Path, people: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    grid = ("stages.0.optimizer.lr=0.01,0.02", "model.region_rate=1")
    options = ("--data", people, "--epochs-scale", 0.5, "--runs", 1, "--device", "cpu")
    places = ("--out", tmp_path / "runs", "--write", tmp_path)
    found = call_json(capsys, "sweep", recipe, *grid, *options, *places)
    assert [row["labels"] for row in found["rows"]] == [["0.01", "1"], ["0.02", "1"]]
    assert found["reference"] == "stages.0.optimizer.lr=0.01, model.region_rate=1"
    assert {run["epochs"] for run in found["runs"]} == {1}
    assert found["conditions"] == ["with 0.5 times the epochs"]
    assert (tmp_path / "sweep-small-people.png").is_file()
    call("sweep", recipe, grid[0], *options, *places)
    printed = capsys.readouterr()
    assert "paper" not in printed.out
    assert "to train" not in printed.err  # 1 is the default: the same runs


def test_values_that_are_far_apart_are_on_a_logarithmic_axis() -> None:
    for values, logarithmic in (
        ("1e-4,1e-2", True),
        ("0,1e-4,1e-2", True),
        ("0.1,0.2", False),
        ("0,1", False),
    ):
        found = grid_table(["sn-fast"], [f"stages.0.optimizer.lr={values}"])
        assert found.plot is not None
        assert found.plot.log is logarithmic
    assert not grid_table(["sn-fast"], ["model.pooling=max,average"]).plot.log  # type: ignore[union-attr]


def test_recipes_are_compared(recipe: Path, people: Path, tmp_path: Path) -> None:
    found = grid_table([str(recipe), "sn-fast"], ["stages.0.optimizer.lr=0.01,0.02"])
    assert [row.recipe for row in found.rows] == [str(recipe)] * 2 + ["sn-fast"] * 2
    assert found.rows[3].name == "sn-fast, stages.0.optimizer.lr=0.02"
    assert found.rows[3].overrides == ("stages.0.optimizer.lr=0.02",)
    assert found.rows[3].labels == ("sn-fast", "0.02")
    found = grid_table(["sal-fast", "sn-fast"], [])
    assert [row.name for row in found.rows] == ["sal-fast", "sn-fast"]
    assert (found.title, found.reference) == ("sal-fast, sn-fast: recipe", "sal-fast")
    assert found.plot is not None
    assert found.plot.kind == "bars"
    for names, message in (
        ("sn-fast,sn-fast", "sn-fast is named twice"),
        ("sn-fats,sal-fast", "Did you mean 'sn-fast'"),
    ):
        with pytest.raises(UserError, match=message):
            call("sweep", names, "--data", people, "--out", tmp_path)


def test_numbers_with_an_exponent_are_numbers() -> None:
    """YAML takes 1e-3 for text, which would have a place of its own beside 0.1."""
    found = grid_table(["sn-fast"], ["stages.0.optimizer.lr=1e-3,1E+2,0.1"])
    assert [row.x for row in found.rows] == [0.001, 100.0, 0.1]
    assert found.rows[0].overrides == ("stages.0.optimizer.lr=0.001",)


def test_one_test_that_fails_leaves_the_others(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    short = {"recipe": "softmax-fast", "set": ["stages.0.epochs=1", "stages.0.sampler.batch_size=12"]}
    rows = [
        short | {"name": "no such branch", "branches": "local"},
        short | {"name": "plain"},
        short | {"name": "re-ranked", "rerank": True},  # of eight gallery crops, where it needs 20
    ]
    columns = [{"data": "market-1501", "metrics": ["mAP"]}]
    path.write_text(json.dumps({"title": "Mine", "columns": columns, "rows": rows}))
    options = ("--data", people, "--out", tmp_path / "runs", "--device", "cpu", "--json")
    with pytest.raises(UserError, match="1 of 1 runs is not complete; the result says why"):
        call("reproduce", path, *options)
    found = json.loads(capsys.readouterr().out)
    local, plain, reranked = found["rows"]
    assert "has no branch 'local'" in local["missing"]["people"]
    assert "Re-ranking needs" in reranked["missing"]["people"]
    assert plain["cells"][0][0]["ours"]["mean"] > 0


def test_each_row_is_tested_with_the_descriptor_of_its_recipe(
    recipe: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    raw = {"recipe": str(recipe), "set": ["model.descriptor=raw"]}
    rows = [raw | {"name": name, "branches": name} for name in ("global", "local")] + [raw | {"name": "both"}]
    columns = [{"data": "market-1501", "metrics": ["mAP"]}]
    path.write_text(json.dumps({"title": "Mine", "columns": columns, "rows": rows}))
    options = ("--data", people, "--out", tmp_path / "runs", "--device", "cpu")
    for row in call_json(capsys, "reproduce", path, *options)["rows"]:
        variants = row["cells"][0][0]["variants"]
        assert set(variants) == {"raw", "raw trapezoid", "unit", "unit trapezoid"}


def test_a_file_in_place_of_a_folder_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--write names a folder, and .*file is none"):
        call("reproduce", "han/table1", "--write", tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (("stages.0.optimizer.rate=1,2",), "stages.0.optimizer.rate: unknown key"),
        (("stages.0.optimizer.lr",), "is no setting with values"),
        (("stages.0.optimizer.lr=1,1",), "the same value twice"),
        (("stages.0.optimizer.lr=0.1,1e-1",), "the same value twice"),
        (("ema=0.9", "--set", "ema=0.8"), "leave out --set ema"),
        (("seed=[1",), "are no YAML"),
        (("ema=0.9", "ema=0.8"), "The setting ema is given twice"),
        (("seed=1,2",), "give their number by --runs"),
        ((), "Name a setting and its values"),
    ],
)
def test_a_wrong_grid_is_refused(
    recipe: Path, people: Path, tmp_path: Path, grid: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        call("sweep", recipe, *grid, "--data", people, "--out", tmp_path)
