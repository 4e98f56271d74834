"""The page: whole, self-contained, and safe whatever the folders are called."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from resight.data.benchmark import Benchmark
from resight.evaluation.ranking import nearest
from resight.evaluation.scores import evaluate
from resight.inference.embedder import Embedder
from resight.inference.loading import load_model
from resight.report.attention import attention_views, cut_boxes
from resight.report.page import Report, write_report
from resight.report.pictures import heat_overlay
from resight.training.run import Run
from resight.training.testing import embed_benchmark, score_benchmark


def report_of(run: Run, people: Benchmark, path: Path | None = None, **how: Any) -> Report:
    embedder = Embedder(load_model(run, device="cpu"))
    embedded = embed_benchmark(embedder, people)
    scores = score_benchmark(embedded, people, **how)
    return write_report(embedder.model, people, path, embedded=embedded, scores=scores)


VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), its text, and its sections; refuses what is not balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def sections(self) -> list[str]:
        return [attributes["id"] for tag, attributes in self.elements if tag == "section"]

    def with_class(self, name: str) -> list[dict[str, str]]:
        return [entry for _, entry in self.elements if name in entry.get("class", "").split()]


@pytest.fixture(scope="module")
def report(run: Run, people: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return report_of(run, people)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.path)


def test_it_is_written_into_the_runs_folder(report: Report, run: Run) -> None:
    assert report.path == run.folder / "report.html"
    assert report.path.stat().st_size < 3_000_000


def test_it_has_all_sections_and_links_to_them(page: Page) -> None:
    assert page.sections == ["scores", "training", "lists", "attention", "run"]
    targets = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert targets == [f"#{name}" for name in page.sections]


def test_it_loads_nothing_from_elsewhere(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form", "image", "use"})
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "srcset", "poster", "data", "action", "xlink:href"):
                assert value.startswith("data:image/jpeg;base64,"), (tag, name)
            if name == "href":
                assert value.startswith("#")
            assert not name.startswith("on")
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_it_has_no_script_of_a_hostile_folder_name(page: Page, people: Benchmark) -> None:
    for name in people.names.values():
        if name.startswith("b"):
            assert page.text.count(name) >= 1  # shown as it is
    assert "<script" not in page.source
    assert "onerror=alert(1)>" not in page.source
    assert "<b>8_c" not in page.source
    titles = [
        attributes["title"] for tag, attributes in page.elements if tag == "img" and "title" in attributes
    ]
    assert any("/<b>" in title for title in titles)


def test_the_scores_stand_beside_the_baselines(page: Page, report: Report) -> None:
    assert report.scores is not None
    for value in (report.scores.mAP, report.scores.rank(1), report.baselines[1].scores["mAP"]):
        assert f"{100 * value:.1f}" in page.text
    for name in ("han-small", "Chance", "Stripe histogram", "Histogram, camera mean removed"):
        assert name in page.text
    assert f"of {report.scores.queries} queries" in page.text


def test_frames_say_what_is_right_as_evaluation_does(
    page: Page, run: Run, people: Benchmark, report: Report
) -> None:
    embedded = embed_benchmark(Embedder(load_model(run, device="cpu")), people)
    rows = [embedded.query_crops.index(entry.query) for entry in report.lists]
    indices, _ = nearest(embedded.query, embedded.gallery, people.protocol, 10, rows=rows)
    expected = [
        "right" if embedded.gallery.persons[place] == embedded.query.persons[row] else "wrong"
        for row, places in zip(rows, indices.tolist(), strict=True)
        for place in places
        if place >= 0
    ]
    frames = [
        name
        for _, entry in page.elements
        for name in entry.get("class", "").split()
        if name in ("right", "wrong")
    ]
    assert frames[2:] == expected  # the first two are the key
    assert {"right", "wrong"} <= set(expected)
    assert len(page.with_class("query")) == len(rows)


def test_facts_of_the_run(page: Page, run: Run) -> None:
    for fact in ("48 crops, 8 persons, 2 cameras", "2 epochs", f"torch {run.info['versions']['torch']}"):
        assert fact in page.text
    assert run.info["machine"]["cpu"].split()[0] in page.text
    assert "label_smoothing" in page.text  # the recipe in full
    assert "Scores during training" in page.text


def test_regions_are_boxes_in_the_papers_colours(page: Page) -> None:
    boxes = [attributes for tag, attributes in page.elements if tag == "rect"]
    views = page.with_class("view")
    assert len(views) == 4 * 6  # four persons; regions and map of three levels
    assert len(boxes) == 4 * 3 * 4
    assert [box["stroke"] for box in boxes[:4]] == ["#e5322d", "#2f7bff", "#1fae54", "#9b51e0"]
    for box in boxes:
        x, y, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= 1.0001
        assert 0 <= y <= y + height <= 1.0001


def test_a_network_without_attention_has_no_such_section(
    bare_run: Run, people: Benchmark, tmp_path: Path
) -> None:
    page = Page(report_of(bare_run, people, tmp_path / "deep" / "page.html").path)
    assert page.sections == ["scores", "training", "lists", "run"]
    assert not page.with_class("view")


def test_without_a_test_part_there_are_no_scores(run: Run, people: Benchmark, tmp_path: Path) -> None:
    only_train = Benchmark("train only", people.root, people.train)
    report = write_report(load_model(run, device="cpu"), only_train, tmp_path / "page.html")
    page = Page(report.path)
    assert report.scores is None
    assert report.lists == ()
    assert page.sections == ["training", "run"]


def test_metric_and_average_precision_are_named(run: Run, people: Benchmark, tmp_path: Path) -> None:
    report = report_of(run, people, tmp_path / "page.html", metric="euclidean", ap="trapezoid")
    embedded = embed_benchmark(Embedder(load_model(run, device="cpu")), people)
    own = evaluate(embedded.query, embedded.gallery, people.protocol, metric="euclidean", ap="trapezoid")
    assert report.scores is not None
    assert report.scores.mAP == own.mAP
    text = Page(report.path).text
    assert "by trapezoids" in text
    assert "distance from the query" in text


def test_views_of_a_network_lie_level_by_level(run: Run, people: Benchmark) -> None:
    pixels = torch.randint(0, 256, (2, 64, 32, 3), dtype=torch.uint8).numpy()
    views = attention_views(run.load_network(), pixels)
    assert len(views) == 2
    assert [bool(view.boxes) for view in views[0]] == [True, False] * 3
    ends = views[0][1].note.split("\n")[0].split("–")
    assert all(0.5 <= float(end) <= 1 for end in ends)  # HAN's maps lie there


def test_boxes_are_cut_at_the_edges_of_the_image() -> None:
    assert cut_boxes([(-0.5, 0.25, 0.5, 0.5)]) == ((0, 0.25, 0.5, 0.25),)
    assert cut_boxes([(1.5, -2, 1.75, -1)]) == ((1, 0, 0, 0),)


def test_heat_is_hottest_where_the_map_is_highest() -> None:
    grey = torch.full((32, 16, 3), 128, dtype=torch.uint8).numpy()
    heat = torch.zeros(4, 2)
    heat[3] = 1
    drawn = heat_overlay(grey, heat.numpy()).astype(int)
    blue_above, yellow_below = drawn[0, 0], drawn[-1, 0]
    assert blue_above[2] > blue_above[0]
    assert yellow_below[0] > yellow_below[2]
    flat = heat_overlay(grey, torch.ones(4, 2).numpy())
    assert len({tuple(pixel) for row in flat for pixel in row}) == 1
