"""A filter selects the same crops by Python, by command, by the API and on the page."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from service_fakes import Make, crops

from resight.commands.main import main
from resight.gallery.crops import FILTERS, Filter, NewCrop, make_filter
from resight.service.forms import FilterForm

Options = Mapping[str, str | list[str]]

PEOPLE = [
    replace(crop, tags=("hat",) if crop.name.endswith("0") else ("hat", "bag"))
    for crop in crops(labelled=True)[:30]
] + [replace(crop, person=None, time=None) for crop in crops()[30:]]

CASES: list[tuple[Options, Callable[[NewCrop], bool]]] = [
    ({}, lambda crop: True),
    ({"camera": ["lobby", "gate"]}, lambda crop: crop.camera != "stairs"),
    ({"not_camera": ["lobby", "gate"]}, lambda crop: crop.camera == "stairs"),
    (
        {"after": "2026-05-04T09:03", "before": "2026-05-04T10:02:01+00:00"},
        lambda crop: (
            crop.time is not None
            and datetime(2026, 5, 4, 9, 3, tzinfo=UTC)
            <= crop.time
            < datetime(2026, 5, 4, 10, 2, 1, tzinfo=UTC)
        ),
    ),
    ({"tag": ["hat", "bag"]}, lambda crop: "bag" in crop.tags),
    ({"person": ["p1", "p3"]}, lambda crop: crop.person in ("p1", "p3")),
    ({"source": ["gate.mp4"]}, lambda crop: crop.camera == "gate"),
    ({"labelled": "true"}, lambda crop: crop.person is not None),
    (
        {"camera": ["lobby"], "not_camera": ["gate"], "person": ["p1"], "tag": ["bag"]},
        lambda crop: crop.camera == "lobby" and crop.person == "p1" and "bag" in crop.tags,
    ),
]


def by_command(gallery: Path, out: Path, options: Options, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    words = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        words += [option] if value == "true" else [w for v in _listed(value) for w in (option, v)]
    arguments = ["resight", "gallery", "export", "--gallery", str(gallery), "--out", str(out), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    return {json.loads(line)["name"] for line in (out / "crops.jsonl").read_text().splitlines()}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_a_filter_selects_the_same_crops_everywhere(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    running = make(people=PEOPLE)
    names = {crop.id: crop.name for crop in running.gallery.page(top=1000)[0]}
    for options, fits in CASES:
        wanted = {crop.name for crop in PEOPLE if fits(crop)}
        assert wanted
        said: dict[str, Any] = {**options, "labelled": True} if "labelled" in options else {**options}
        where = make_filter(said, UTC)
        assert {crop.name for crop in running.gallery.page(where, 1000)[0]} == wanted
        answer = running.client.get("/api/items", params={**options, "top": "200"}).json()
        assert {item["name"] for item in answer["items"]} == wanted
        assert answer["fit"] == len(wanted)
        page = running.client.post("/search", data=dict(options)).text
        assert {names[identity] for identity in re.findall(r'data-id="([0-9a-f-]+)"', page)} == wanted
        query = running.ids(5)[0]
        found = running.client.post("/api/search", data={**options, "crop": query, "top": "200"}).json()
        assert {match["name"] for match in found["matches"]} == wanted - {names[query]}
    running.gallery.close()
    for number, (options, fits) in enumerate(CASES):
        wanted = {crop.name for crop in PEOPLE if fits(crop)}
        assert (
            by_command(Path(running.gallery.place), tmp_path / f"out{number}", options, monkeypatch) == wanted
        )


def test_every_condition_of_a_filter_can_be_named() -> None:
    inner = {"ids", "not_ids", "older_than"}  # ids have options of their own
    assert {field for field, _ in FILTERS.values()} == set(Filter.__dataclass_fields__) - inner
    assert set(FilterForm.model_fields) == set(FILTERS)
    assert make_filter({"camera": [], "after": "", "person": None, "labelled": False, "top": 5}) == Filter()
