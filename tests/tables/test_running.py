"""Trainings of a table: found again, shared, resumed, shared among processes, and what cannot run."""

import fcntl
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from resight.data.opening import open_data
from resight.errors import UserError
from resight.evaluation.statistics import spread
from resight.tables.collecting import collect
from resight.tables.formats import comma_separated, latex, markdown, write_all
from resight.tables.jobs import Job, Scoring
from resight.tables.plan import TablePlan, make_plan
from resight.tables.reading import load_table
from resight.tables.results import TableResult, load_result
from resight.tables.running import run_jobs
from resight.tables.scoring import score_job
from resight.tables.sheets import sheets_of
from resight.tables.sources import Opened
from resight.tables.table import Column, Row


def test_rows_that_differ_in_the_test_share_their_trainings(ran: tuple[TablePlan, TableResult]) -> None:
    plan, result = ran
    assert len(plan.jobs) == 4
    assert len(result.runs) == 4
    assert sum(len(job.scorings) for job in plan.jobs.values()) == 6
    assert {run.seed for run in result.runs} == {0, 1}
    assert len({run.trained_on for run in result.runs}) == 1
    assert len(result.runs[0].trained_on) == 64
    assert [row.name for row in result.rows] == ["plain", "global", "still"]  # quotations are on other data


def test_differences_are_paired_by_run(ran: tuple[TablePlan, TableResult]) -> None:
    _, result = ran
    assert result.heading == "A table, on people instead of the paper's data"
    assert result.headings == ("people; paper: Market-1501",)
    plain, still = result.rows[0].cells[0][0], result.rows[2].cells[0][0]
    assert plain.difference is None
    found = spread([still.values[run] - plain.values[run] for run in (0, 1)])
    assert still.difference is not None
    assert (still.difference.mean, still.difference.low) == (found.mean, found.low)
    assert still.published_difference == -1.5
    assert plain.ours is not None
    assert plain.ours.mean == pytest.approx(sum(plain.values.values()) / 2)
    assert set(plain.variants) == {"unit", "unit trapezoid"}
    assert plain.variants["unit"] == pytest.approx(plain.ours.mean)


def test_finished_runs_are_not_repeated(ran: tuple[TablePlan, TableResult], request_for: Any) -> None:
    plan, result = ran
    before = {job.folder: (job.folder / "run.json").stat().st_mtime_ns for job in plan.jobs.values()}
    again = make_plan(request_for(runs=2, rows=("plain", "still")))
    assert all(job.complete for job in again.jobs.values())
    assert run_jobs(again, 3) == {}
    assert {job.folder: (job.folder / "run.json").stat().st_mtime_ns for job in again.jobs.values()} == before
    assert collect(again, {}).rows[0].cells == result.rows[0].cells
    assert any(not job.complete for job in make_plan(request_for(runs=3)).jobs.values())


def test_a_run_in_use_is_left_to_the_other_process(request_for: Any, tmp_path: Path) -> None:
    plan = make_plan(request_for(out=tmp_path, runs=1, rows=("plain",)))
    [job] = plan.jobs.values()
    lock = job.folder.parent / f"{job.folder.name}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        reasons = run_jobs(plan, 1)
    assert reasons == {job.digest: f"another process is training {job.folder}"}
    result = collect(plan, reasons)
    assert result.missing == {reasons[job.digest]: ["plain, in people; paper: Market-1501"]}
    assert result.rows[0].cells[0][0].ours is None


def test_interrupted_runs_go_on(
    ran: tuple[TablePlan, TableResult],
    request_for: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = interrupted(ran, request_for, tmp_path)
    assert run_jobs(plan, 1) == {}
    check_resumed(plan, ran)
    said = capsys.readouterr().err
    assert re.search(r"Run 1 of 2: ", said)
    assert re.search(r"Run 2 of 2, about 0:0\d left for all: ", said)


@pytest.mark.slow
def test_processes_share_the_work(
    ran: tuple[TablePlan, TableResult], request_for: Any, tmp_path: Path
) -> None:
    plan = interrupted(ran, request_for, tmp_path)
    assert run_jobs(plan, 2) == {}
    check_resumed(plan, ran)


def interrupted(ran: tuple[TablePlan, TableResult], request_for: Any, out: Path) -> TablePlan:
    """Return a plan of two runs, one killed before its first checkpoint, the other one before its end."""
    plan = make_plan(request_for(out=out, runs=1))
    first, second = plan.jobs.values()
    for job, files in ((first, ("recipe.yaml",)), (second, ("recipe.yaml", "run.json", "checkpoint.pt"))):
        finished = ran[0].jobs[job.digest]
        job.folder.mkdir(parents=True)
        for name in files:
            (job.folder / name).write_bytes((finished.folder / name).read_bytes())
    info = json.loads((second.folder / "run.json").read_text())
    (second.folder / "run.json").write_text(json.dumps(info | {"finished": None}))
    return plan


def check_resumed(plan: TablePlan, ran: tuple[TablePlan, TableResult]) -> None:
    """The scores are those of the runs that were not interrupted, and the second run says that it went on."""
    for row, known in zip(collect(plan, {}).rows, ran[1].rows, strict=True):
        assert row.cells[0][0].values[0] == pytest.approx(known.cells[0][0].values[0])
    second = list(plan.jobs.values())[1]
    assert len(json.loads((second.folder / "run.json").read_text())["resumed"]) == 1


def test_every_format_says_what_is_not_as_in_the_paper(
    ran: tuple[TablePlan, TableResult], tmp_path: Path
) -> None:
    _, result = ran
    files = write_all(result, tmp_path)
    assert [path.suffix for path in files] == [".md", ".csv", ".tex", ".json", ".png", ".svg"]
    assert load_result(tmp_path / "a-table1-people.json") == result
    sheets = sheets_of(result)
    assert [sheet.title.rpartition("; ")[2] for sheet in sheets[1:]] == [
        "differences from plain",
        "claims",
        "other definitions",
    ]
    for sheet in sheets:
        assert "on people instead of the paper's data" in sheet.title
    text = markdown(result)
    assert text.startswith("## A table\n\n**A table, on people instead")
    assert text.count("**A table, on people instead") == 4
    assert "| Row | mAP | mAP, paper | Rank-1 | Rank-1, paper |" in text
    assert "| Regions help. (Section 1) | mAP, plain - still | " in text
    assert "Paper: A paper, Table 1." in text
    assert r"\caption{A table, on people instead of the paper's data" in latex(result)
    assert r"$\pm$" in latex(result)
    named = result.rows[0].model_copy(update={"name": "drop={side: 2}, a_b"})
    renamed = result.model_copy(update={"rows": (named, *result.rows[1:])})
    assert r"drop=\{side: 2\}, a\_b &" in latex(renamed)
    brackets = named.model_copy(update={"name": "[a]\nb|c"})
    odd = result.model_copy(update={"rows": (brackets, *result.rows[1:]), "note": "One.\nTwo $."})
    assert "\n{[}a] b|c &" in latex(odd)
    assert "% One.\n% Two $." in latex(odd)
    assert r"| [a] b\|c |" in markdown(odd)
    lines = comma_separated(result).splitlines()
    assert len(lines) == 1 + 3 * 2
    assert lines[1].startswith("a/table1,on people instead of the paper's data,plain,False,")
    (tmp_path / "old.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="has the format 99"):
        load_result(tmp_path / "old.json")
    with pytest.raises(UserError, match="is not a table's result"):
        load_result(tmp_path / "a-table1-people.md")


def test_synthetic_people_are_drawn_once(
    request_for: Any, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []

    def draw(folder: Path, **settings: int) -> None:
        assert settings["persons"] - settings["test_persons"] == 200
        shutil.copytree(people, folder, dirs_exist_ok=True)
        drawn.append(folder)

    monkeypatch.setattr("resight.tables.sources.synthesize", draw)
    plan = make_plan(request_for(data=("synthetic",), out=tmp_path))
    assert drawn == [tmp_path / "synthetic"]
    assert plan.conditions == ("on synthetic people instead of the paper's data",)
    assert (plan.substitute, plan.columns[0].title) == ("synthetic", "synthetic; paper: Market-1501")
    make_plan(request_for(data=(f"synthetic={tmp_path / 'others'}",), out=tmp_path))
    assert drawn[1] == tmp_path / "others"


def test_missing_data_and_weights_are_reasons(request_for: Any, people: Path, tmp_path: Path) -> None:
    plan = make_plan(request_for(data=(), out=tmp_path))
    assert not plan.jobs
    assert plan.reasons["plain", 0] == "no data: name its folder, --data market-1501=PATH"
    rows = (
        Row(name="weights", recipe="softmax"),
        Row(name="none", recipe="han-small"),
        Row(name="unknown", without="it is not implemented"),
    )
    changed = request_for().table.model_copy(
        update={"rows": rows, "reference": None, "claims": (), "plot": None}
    )
    reasons = make_plan(request_for(table=changed, out=tmp_path)).reasons
    assert "The ImageNet weights of resnet50 are not on this machine" in reasons["weights", 0]
    assert reasons["weights", 0].endswith("--from-scratch (with sweep: --set pretrained=null)")
    plan = make_plan(request_for(table=changed, from_scratch=True, fast=True, out=tmp_path))
    assert plan.conditions[1:] == (
        "by the -fast recipes",
        "from random weights instead of pretrained ones",
    )
    assert plan.recipes["weights"].pretrained is None
    assert plan.recipes["weights"].name == "softmax-fast"
    with pytest.raises(UserError, match=r"people is not the market-1501 that the table needs.*--data "):
        make_plan(request_for(data=(f"market-1501={people}",), out=tmp_path))
    with pytest.raises(UserError, match=r"^The table needs classes of pictures, and .*people has crops"):
        make_plan(request_for(table=load_table("sal/table4"), out=tmp_path))
    with pytest.raises(UserError, match=r"is of what networks cost.* Leave --data out"):
        make_plan(request_for(table=load_table("han/table1"), out=tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ("marcet-1501=x",)}, r"unknown data set 'marcet-1501'\. Did you mean 'market-1501'\?"),
        ({"data": ("msmt17=x",)}, "the table needs market-1501, not msmt17"),
        ({"data": ("market-1501=x", "market-1501=y")}, "two folders for market-1501"),
        ({"data": ("a", "b")}, "one other set that stands for all of them"),
        ({"data": ("market-1501=x",), "reading": {"holdout": 3}}, "--holdout can only be given with another"),
        ({"rows": ("plian",)}, "has no row 'plian'. Did you mean 'plain'"),
        ({"runs": 0}, "--runs must be 1 or more"),
        ({"epochs_scale": 0}, "--epochs-scale must be a number above 0; got 0"),
        ({"epochs_scale": float("nan")}, "--epochs-scale must be a number above 0; got nan"),
        ({"epochs_scale": float("inf")}, "--epochs-scale must be a number above 0; got inf"),
        ({"data": ("nowhere",)}, "There is no folder nowhere"),
    ],
)
def test_contradictions_are_refused(request_for: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(request_for(**changes))


def test_a_loss_is_compared_with_the_reference_row(
    ran: tuple[TablePlan, TableResult], request_for: Any
) -> None:
    column = Column(title="Market-1501", data="market-1501", metrics=("loss_change",))
    rows = tuple(row.model_copy(update={"published": None}) for row in request_for().table.rows[1:])
    table = request_for().table.model_copy(
        update={"columns": (column,), "rows": rows, "claims": (), "plot": None}
    )
    plan = make_plan(request_for(table=table))
    assert all(job.complete for job in plan.jobs.values())
    result = collect(plan, {})
    found = {row.name: row.cells[0][0] for row in result.rows}
    assert found["plain"].values == {0: 0.0, 1: 0.0}
    assert found["global"].values == {0: 0.0, 1: 0.0}
    assert 0 < abs(found["still"].values[0]) < 50
    assert found["still"].difference is None


def test_distractors_are_added_to_the_gallery(
    ran: tuple[TablePlan, TableResult], people: Path, tmp_path: Path
) -> None:
    root = tmp_path / "people"
    shutil.copytree(people, root)
    (root / "distractors_500k").mkdir()
    for number, crop in enumerate(sorted((root / "bounding_box_test").iterdir())):
        shutil.copy(crop, root / "distractors_500k" / f"0000_c1s1_{number:06d}_00.png")
    finished = next(iter(ran[0].jobs.values()))
    data = open_data(root, reader="market-layout,distractors=true")
    opened = Opened(data, "", "")
    scorings = {f"{size}": (opened, Scoring(None, False, size)) for size in (0, 8)}
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    job = Job(finished.digest, finished.recipe, opened, folder, scorings)
    score_job(job, "cpu")
    alone, among = (json.loads(job.scores_file(key).read_text()) for key in scorings)
    [known] = (json.loads(finished.scores_file(key).read_text()) for key in list(finished.scorings)[:1])
    assert alone["mAP"] == pytest.approx(known["mAP"])
    assert among["mAP"] <= alone["mAP"] / 2 + 1e-9  # beside each match now lies a copy, which counts as wrong
