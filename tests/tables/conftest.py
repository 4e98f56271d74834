"""Crops and a recipe so small that a training takes a second."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.tables.collecting import collect
from resight.tables.plan import Request, TablePlan, make_plan
from resight.tables.results import TableResult
from resight.tables.running import run_jobs
from resight.tables.table import Claim, Column, Plot, PrintedFigure, Row, Table

RECIPE = """
base: han-small
model:
  input_size: [64, 32]
  widths: [16, 16, 16]
  feature_size: 16
stages:
  - name: main
    epochs: 2
    sampler: {name: random, batch_size: 12}
    objective: [{term: cross-entropy}]
    optimizer: {name: sgd, lr: 0.01}
    schedule: {name: multi-step, epochs: [1]}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 crops of 6 persons to train on, 16 of 4 others to test on, in Market-1501's layout."""
    root = tmp_path_factory.mktemp("sets") / "people"
    random = np.random.default_rng(0)
    for person in range(1, 11):
        colour = random.integers(0, 256, 3)
        for camera in (1, 2):
            for crop in range(2):
                part = "bounding_box_train" if person <= 6 else ("query", "bounding_box_test")[crop]
                (root / part).mkdir(parents=True, exist_ok=True)
                pixels = np.clip(colour + random.normal(0, 25, (32, 16, 3)), 0, 255).astype(np.uint8)
                name = f"{person:04d}_c{camera}s1_{crop:06d}_00.png"
                Image.fromarray(pixels).save(root / part / name)
    return root


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "small.yaml"
    path.write_text(RECIPE)
    return path


def figure(value: float) -> PrintedFigure:
    return PrintedFigure(value=value, sign="", text=f"{value}")


@pytest.fixture(scope="session")
def table(recipe: Path) -> Table:
    """Three rows of two trainings, and one that is quoted."""
    rows = (
        Row(name="another's", published=(figure(1.5), None)),
        Row(name="plain", recipe=str(recipe), published=(figure(50.0), figure(60.5))),
        Row(name="global", recipe=str(recipe), branches="global"),
        Row(
            name="still",
            recipe=str(recipe),
            set=("model.regions=false",),
            published=(figure(48.5), None),
        ),
    )
    return Table(
        title="A table",
        source="A paper, Table 1",
        columns=(Column(title="Market-1501", data="market-1501", metrics=("mAP", "rank1")),),
        rows=rows,
        reference="plain",
        claims=(Claim(text="Regions help.", row="plain", over="still", section="1"),),
        runs=2,
        plot=Plot(kind="bars"),
    )


@pytest.fixture(scope="session")
def request_for(table: Table, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("out")

    def build(**changes: Any) -> Request:
        settings = {"name": "a/table1", "table": table, "data": (str(people),), "out": out, "device": "cpu"}
        return Request(**settings | changes)

    return build


@pytest.fixture(scope="session")
def ran(request_for: Any) -> tuple[TablePlan, TableResult]:
    plan = make_plan(request_for())
    assert run_jobs(plan, 1) == {}
    return plan, collect(plan, {})
