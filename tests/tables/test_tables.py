"""The tables that come with Resight, and shorter trainings."""

import re
import runpy
from pathlib import Path

import pytest

from resight.data.classification import CLASSIFICATIONS
from resight.data.opening import READERS
from resight.errors import UserError
from resight.tables.collecting import collect
from resight.tables.metrics import METRICS, network_figure
from resight.tables.plan import Request, make_plan
from resight.tables.plots import save_plot
from resight.tables.reading import load_table, table_files
from resight.tables.results import load_result
from resight.tables.sheets import sheets_of
from resight.training.reading import load_recipe, recipe_files
from resight.training.scaling import rescaled, scaled

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("paper", ["han", "sal", "sharp", "sn", "sona"])
def test_every_table_can_be_read(paper: str) -> None:
    names = [name for name in table_files() if name.startswith(f"{paper}/")]
    assert len(names) >= 4
    for name in names:
        table = load_table(name)
        assert any(row.recipe for row in table.rows) or any(row.without for row in table.rows), name
        named = {column.data.partition(",")[0] for column in table.columns if column.data is not None}
        assert named <= {*READERS.names(), *CLASSIFICATIONS.names()}, name
        for row in table.rows:
            assert row.recipe or row.published is not None or row.without, (name, row.name)
            assert not row.fast or row.recipe, (name, row.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", table_files())
def test_every_row_has_a_recipe_whose_parts_fit(name: str) -> None:
    table, known = load_table(name), recipe_files()
    for row in table.rows:
        if row.recipe is not None:
            load_recipe(row.recipe, row.overrides)
            if (fast := table.fast.get(row.recipe, f"{row.recipe}-fast")) in known:
                load_recipe(fast, row.overrides if row.fast is None else row.fast)


def test_an_unknown_table_is_suggested() -> None:
    with pytest.raises(UserError, match=r"Unknown table 'sona/tabel5'\. Did you mean 'sona/table5'\?"):
        load_table("sona/tabel5")


def test_schedules_are_shortened_with_the_training() -> None:
    sona = scaled(load_recipe("sona-plain", fitting=False), 0.1)
    [stage] = sona.stages
    assert stage.epochs == 40
    warm, steps = (schedule.settings for schedule in stage.schedule)
    assert (warm["epochs"], warm["every"]) == (pytest.approx(4.5), 1)
    assert steps["epochs"] == [20, 30]
    sharp = scaled(load_recipe("sharp", fitting=False), 0.1)
    assert sharp.stages[0].optimizer.settings["late_from"] == pytest.approx(9)
    assert sharp.model.settings["attention"]["layer1"][0]["rate"] == pytest.approx(0.08)
    assert scaled(load_recipe("sal-fast", fitting=False), 0.01).epochs == 2
    han = rescaled(load_recipe("han-small", fitting=False), 30)
    assert (han.epochs, han.stages[0].schedule[0].settings["epochs"]) == (30, [10, 20, 25])
    assert rescaled(han, 300) == load_recipe("han-small", fitting=False)


def test_metrics_are_printed_as_papers_do() -> None:
    assert METRICS["mAP"].shown(78.484) == "78.5"
    assert METRICS["mAP"].shown(1.25, sign=True) == "+1.2"
    assert METRICS["flops"].shown(3.684e8) == "3.68e8"
    assert METRICS["flops"].shown(1.088e10) == "1.09e10"


def test_the_context_units_have_the_published_number_of_parameters() -> None:
    [row] = [row for row in load_table("sharp/table2").rows if row.recipe]
    assert row.published is not None
    assert row.recipe is not None
    recipe = load_recipe(row.recipe, fitting=False)
    for place, name in enumerate(("context1", "context2", "context3", "context")):
        printed = row.published[place]
        assert printed is not None
        assert METRICS[name].shown(network_figure(name, recipe)) == printed.text


def test_accuracy_is_drawn_against_cost(tmp_path: Path) -> None:
    table = load_table("han/table6")
    rows = tuple(row for row in table.rows if row.name in ("PDC (Su et al., 2017)", "HAN(Small)"))
    few = table.model_copy(update={"rows": rows, "claims": ()})
    request = Request(name="x", table=few, out=tmp_path, device="cpu")
    result = collect(make_plan(request), {})
    assert [path.name for path in save_plot(result, tmp_path / "plot")] == ["plot.png", "plot.svg"]
    text = (tmp_path / "plot.svg").read_text()
    for label in ("PDC", "HAN(Small)", "quoted by the paper", "multiply-adds (billions)", "10"):
        assert f">{label}<" in text
    sheets = sheets_of(result)
    assert sheets[1].rows[0] == ("PDC (Su et al., 2017) (quoted)", "-", "≫9.82e9", "-", "≫9.82e9", "-")


def test_bars_of_several_data_sets_name_theirs(tmp_path: Path) -> None:
    result = collect(make_plan(Request(name="x", table=load_table("sharp/table1"), out=tmp_path)), {})
    save_plot(result, tmp_path / "plot")
    text = (tmp_path / "plot.svg").read_text()
    for name in ("Market-1501", "DukeMTMC-reID"):
        assert f">Baseline + SAMG + CIL, {name}<" in text


def test_a_logarithmic_axis_begins_with_zero(tmp_path: Path) -> None:
    stored = ROOT / "benchmarks" / "results" / "tables" / "sn-fig3-lambda-synthetic.json"
    save_plot(load_result(stored), tmp_path / "plot")
    text = (tmp_path / "plot.svg").read_text()
    assert ">error bars: 95 % intervals over runs<" in text
    assert re.findall(r">([\d.]+)</text>", text)[:6] == ["0", "0.001", "0.01", "0.1", "1", "10"]


def test_a_dollar_sign_in_a_name_is_one(tmp_path: Path) -> None:
    table = load_table("han/table6")
    rows = [row.model_copy(update={"name": r"$\foo$"}) for row in table.rows if row.name == "HAN(Small)"]
    few = table.model_copy(update={"rows": tuple(rows), "claims": ()})
    result = collect(make_plan(Request(name="x", table=few, out=tmp_path, device="cpu")), {})
    assert len(save_plot(result, tmp_path / "plot")) == 2


def test_the_page_is_made_from_the_stored_results() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "reproduction_page.py"))
    assert script["page"]() == (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
