"""What papers say in words about pairs of rows, beside our runs."""

from typing import Any

import pytest
from pydantic import ValidationError

from resight.tables.results import Cell, CheckedClaim, Interval, ResultRow, check_claims, verdict
from resight.tables.sheets import claim_line
from resight.tables.table import Claim, PrintedFigure, Table

CLAIM = Claim(text="Attention helps.", row="with", over="without", section="3.4")


def row(name: str, values: dict[int, float], published: float | None = None) -> ResultRow:
    printed = None if published is None else PrintedFigure(value=published, sign="", text=f"{published}")
    cell = Cell(
        metric="mAP",
        values=values,
        ours=Interval.of(list(values.values())),
        difference=None,
        published=printed,
        published_std=None,
        published_difference=None,
        variants={},
    )
    return ResultRow(
        name=name,
        quoted=False,
        recipe="a",
        overrides=(),
        x=None,
        series="",
        counted="multiply-adds",
        missing={},
        cells=((cell,),),
    )


def check(one: dict[int, float], other: dict[int, float], claim: Claim = CLAIM) -> CheckedClaim:
    [found] = check_claims([claim], [row("with", one, 70.0), row("without", other, 68.5)], ["people"])
    return found


def test_a_claim_is_checked_over_the_runs_that_both_rows_have() -> None:
    found = check({0: 53.0, 1: 54.0, 2: 55.0, 3: 99.0}, {0: 50.0, 1: 52.0, 2: 51.0, 4: 0.0})
    assert found.column == 0
    assert found.published == 1.5
    assert found.ours is not None
    assert found.ours.mean == pytest.approx(3.0)  # of 3, 2 and 4, whose standard deviation is 1
    assert found.ours.low == pytest.approx(3.0 - 4.302653 / 3**0.5)  # Student's t, two degrees of freedom
    assert claim_line(found)[1:] == ("mAP, with - without", "+3.0 [+0.5, +5.5]", "+1.5", "yes")


@pytest.mark.parametrize(
    ("one", "other", "shows"),
    [
        ({0: 2.0, 1: 2.2}, {0: 1.0, 1: 1.1}, "yes"),
        ({0: 1.0, 1: 1.1}, {0: 2.0, 1: 2.2}, "opposite"),
        ({0: 1.0, 1: 3.0}, {0: 2.0, 1: 2.0}, "no"),
        ({0: 2.0}, {0: 1.0}, "same sign"),
        ({0: 1.0}, {0: 2.0}, "other sign"),
        ({0: 1.0}, {0: 1.0}, "equal"),
        ({0: 1.0}, {1: 2.0}, "-"),
    ],
)
def test_the_interval_decides_or_with_one_run_the_sign(
    one: dict[int, float], other: dict[int, float], shows: str
) -> None:
    assert check(one, other).shows == shows


def test_a_smaller_error_is_better() -> None:
    assert verdict("top1_error", Interval.of([-1.0, -1.1, -1.0])) == "yes"


def test_what_is_counted_needs_no_interval() -> None:
    assert verdict("flops", Interval.of([-3e8])) == "yes"
    assert verdict("flops", Interval.of([0.0])) == "equal"


def test_a_difference_of_bounds_is_not_the_papers() -> None:
    rows = [row("with", {0: 1.0}, 70.0), row("without", {0: 1.0})]
    bound = PrintedFigure(value=68.5, sign=">", text=">68.5")
    cell = rows[1].cells[0][0].model_copy(update={"published": bound})
    [found] = check_claims([CLAIM], [rows[0], rows[1].model_copy(update={"cells": ((cell,),)})], ["people"])
    assert found.published is None


def test_a_claim_about_a_row_that_is_absent_is_left_out() -> None:
    assert check_claims([CLAIM], [row("with", {0: 1.0})], ["people"]) == ()


def test_a_claim_may_be_about_some_columns() -> None:
    claim = CLAIM.model_copy(update={"columns": ("Market-1501",)})
    rows = [row("with", {0: 2.0}), row("without", {0: 1.0})]
    assert check_claims([claim], rows, ["CUHK03"]) == ()
    assert [found.column for found in check_claims([claim], rows, ["Market-1501"])] == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": "wiht"}, "no row with a recipe is named 'wiht'. Did you mean 'with'"),
        ({"over": "quoted"}, "no row with a recipe is named 'quoted'"),
        ({"metric": "map"}, "no column has the metric 'map'. Did you mean 'mAP'"),
        ({"columns": ["Markt-1501"]}, "no such column is 'Markt-1501'. Did you mean 'Market-1501'"),
        ({"over": "with"}, "compares the row 'with' with itself"),
    ],
)
def test_a_claim_must_name_our_rows_and_a_metric(change: dict[str, Any], message: str) -> None:
    content: dict[str, Any] = {
        "title": "A table",
        "columns": [{"title": "Market-1501", "data": "market-1501", "metrics": ["mAP"]}],
        "rows": [
            {"name": "with", "recipe": "a"},
            {"name": "without", "recipe": "b"},
            {"name": "quoted", "published": "1"},
        ],
        "claims": [CLAIM.model_dump() | change],
    }
    with pytest.raises(ValidationError, match=message):
        Table.model_validate(content)
