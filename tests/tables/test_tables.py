"""The tables that come with Resight, and shorter trainings."""

import pytest

from resight.errors import UserError
from resight.tables.metrics import METRICS
from resight.tables.scaling import scaled
from resight.tables.table import load_table, table_files
from resight.training.reading import load_recipe, recipe_files


@pytest.mark.parametrize("paper", ["han", "sal", "sharp", "sn", "sona"])
def test_every_table_can_be_read(paper: str) -> None:
    names = [name for name in table_files() if name.startswith(f"{paper}/")]
    assert len(names) >= 4
    for name in names:
        table = load_table(name)
        assert any(row.recipe for row in table.rows) or any(row.without for row in table.rows), name
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


def test_metrics_are_printed_as_papers_do() -> None:
    assert METRICS["mAP"].shown(78.484) == "78.5"
    assert METRICS["mAP"].shown(1.25, sign=True) == "+1.2"
    assert METRICS["flops"].shown(3.684e8) == "3.68e8"
    assert METRICS["flops"].shown(1.088e10) == "1.09e10"
