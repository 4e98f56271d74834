"""``resight explain``: which figures a network has, what they show, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resight.data.benchmark import Benchmark
from resight.errors import UserError
from resight.imaging import read_image
from resight.inference.loading import LoadedModel, load_model
from resight.models.network import build_model
from resight.report.explain import Explanation, explain
from resight.report.explanation_page import write_explanation
from resight.report.figures import ExplanationChoices
from resight.report.pictures import heat_overlay, range_note
from resight.report.projection import Projection
from resight.report.sheets import RIGHT, WRONG, PictureRow, PictureSheet, View, draw_sheet
from resight.training.run import Run

RESNET = {"trunk": {"name": "resnet", "depth": 18}, "input_size": (64, 32)}
FEW = ExplanationChoices(each=1, hits=3)


def model(name: str, seed: int = 0, **settings: Any) -> LoadedModel:
    """Return an untrained network; float32, as PyTorch 2.13 gets its smallest maps wrong in bfloat16."""
    torch.manual_seed(seed)
    network = build_model(name, 4, **RESNET, **settings).eval()
    return LoadedModel(network, f"{name}-{seed}", precision="float32", runtime="torch")


def contents(found: Explanation) -> dict[str, PictureSheet | Projection]:
    return {figure.name: figure.content for figure in found.figures}


def pixels_of(found: Explanation) -> torch.Tensor:
    """Return the shown crops at the networks' input size, [N, 3, H, W]."""
    pixels = np.stack([read_image(crop.path, RESNET["input_size"]) for _, crop in found.crops])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def test_han_has_regions_and_maps_lists_and_the_plane(run: Run, people: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "points.png").write_bytes(b"of an earlier explanation")
    found = explain([replace(load_model(run), runtime="torch")], people, FEW)
    sheets = contents(found)
    assert list(sheets) == ["attention", "lists", "tsne"]
    assert [reason.split(":")[0] for reason in found.left_out] == ["Reference points", "Masked features"]
    assert [kind for kind, _ in found.crops] == ["best", "median", "worst"]
    maps = sheets["attention"]
    assert isinstance(maps, PictureSheet)
    assert maps.heads == ("crop", *(name for n in "123" for name in (f"level {n}", f"soft {n}")))
    assert [bool(view.boxes) for view in maps.rows[0].views] == [False, *[True, False] * 3]
    plane = sheets["tsne"]
    assert isinstance(plane, Projection)
    assert len(plane.crops) == len(set(plane.crops)) == 24
    (places,) = plane.places.values()
    assert places.shape == (24, 2)
    assert np.ptp(places, axis=0).max() == pytest.approx(1)
    page, *pictures = write_explanation(found, people, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {page.name, *(path.name for path in pictures)}
    assert {path.suffix for path in pictures} == {".png", ".svg"}
    text = page.read_text()
    assert "<script>alert" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "has no sharp attention" in text


def test_two_sals_stand_beside_each_other_with_their_constraint(people: Benchmark, tmp_path: Path) -> None:
    models = [model("sal", seed) for seed in (0, 1)]
    found = explain(models, people, FEW)
    maps, lists = contents(found)["attention"], contents(found)["lists"]
    assert isinstance(maps, PictureSheet)
    assert isinstance(lists, PictureSheet)
    assert maps.groups == (("", 1), ("sal-0", 3), ("sal-1", 3))
    assert maps.heads == ("crop", *2 * ("stage 4", "stage 5", "stage 6"))
    second = models[1].need_network("")
    with torch.inference_mode():
        four, five, six = second(second.normalise(pixels_of(found))).attention.values()
    constraint = (six - four).square().sum((1, 2)) + (six - five).square().sum((1, 2))
    notes = [row.views[6].note.split("\n")[-1] for row in maps.rows]
    assert notes == [f"SAC {one:.2f}" for one in constraint]
    assert [row.crop for row in lists.rows] == [0, 0, 1, 1, 2, 2]
    kinds = [kind for kind, _ in found.crops]
    assert [row.label for row in maps.rows] == [f"{kind}\nof sal-0" for kind in kinds]
    labels = [row.label.split("\n")[:-1] for row in lists.rows]
    assert labels == [label for kind in kinds for label in (["sal-0", kind], ["sal-1"])]
    assert "Reference points: sal-0 and sal-1 have no second-order or non-local attention." in found.left_out
    text = write_explanation(found, people, tmp_path)[0].read_text()
    assert "by cosine similarity of raw descriptors" in text
    assert "The crops are the best, median and worst queries of sal-0." in text


def test_settings_that_differ_are_named(run: Run, trained: Callable[..., Run], people: Benchmark) -> None:
    other = trained("evaluate_every=1", "stages.0.optimizer.lr=0.002", "ema=0.5")
    found = explain([replace(load_model(one), runtime="torch") for one in (run, other)], people, FEW)
    assert found.differences == {"ema": "none and 0.5", "stages.0.optimizer.lr": "0.03 and 0.002"}


@pytest.mark.parametrize(
    ("low", "high", "note"),
    [
        (0.06, 0.224, "0.06–0.22"),
        (0.0031, 0.0049, "0.003–0.005"),
        (1.001, 1.003, "1.001–1.003\nnearly flat"),
        (0.5212, 0.5214, "0.5212–0.5214\nnearly flat"),
        (0.52, 0.52 + 1e-7, "0.52\nflat"),
        (0, 0, "0.00\nflat"),
    ],
)
def test_the_ends_of_a_range_are_told_apart(low: float, high: float, note: str) -> None:
    assert range_note(low, high) == note


def test_rounding_is_no_map() -> None:
    grey = np.full((8, 4, 3), 90, np.uint8)
    heat = np.array([[0.52, 0.52 + 1e-7]], np.float32)
    assert np.ptp(heat) > 0
    assert (heat_overlay(grey, heat) == heat_overlay(grey, np.zeros_like(heat))).all()


def test_the_most_related_points_are_marked(people: Benchmark, tmp_path: Path) -> None:
    sona = model("sona", attention={"layer2": {"name": "second-order", "scale": 1.0}})
    found = explain([sona], people, replace(FEW, points=((0.9, 0.1),), related=2))
    (weights,) = found.weights.values()
    assert weights.shape[1:] == (8, 4, 8, 4)
    assert weights.mean((3, 4)) == pytest.approx(1, abs=1e-4)
    sheet = contents(found)["points"]
    assert isinstance(sheet, PictureSheet)
    for row, own in zip(sheet.rows, weights[:, 0, 3], strict=True):
        reference, *related = row.views[1].points
        assert reference == (0.875, 0.0625)
        own[0, 3] = -1
        cells = [(int(x * 4), int(y * 8)) for x, y in related]
        assert [own[y, x] for x, y in cells] == sorted(own.ravel(), reverse=True)[:2]
    page, *_ = write_explanation(found, people, tmp_path)
    assert '"shape": [8, 4]' in page.read_text()


def test_raw_soft_and_sharp_features(people: Benchmark) -> None:
    sharp = model("pooled", attention={"layer1": {"name": "sharp", "context": False}})
    soft = model("pooled", attention={"layer1": {"name": "sharp", "context": False, "mask": "soft"}}, seed=1)
    alone = next(figure for figure in explain([sharp], people, FEW).figures if figure.name == "masks")
    assert isinstance(alone.content, PictureSheet)
    masks = ("soft\nmask", "sharp\nmask")
    assert alone.content.heads == ("crop", "raw\nfeatures", "soft\nfeatures", "sharp\nfeatures", *masks)
    assert "it was not trained" in alone.caption
    both = next(figure for figure in explain([sharp, soft], people, FEW).figures if figure.name == "masks")
    assert isinstance(both.content, PictureSheet)
    assert both.content.heads[1:4] == ("raw\nfeatures", "sharp\nfeatures", "sharp\nmask")
    assert "not trained" not in both.caption
    assert "pooled-0: sharp" in both.caption


def test_chosen_queries_are_shown_in_their_order(people: Benchmark) -> None:
    wanted = [people.query[5], people.query[0]]
    names = (str(wanted[0].path), people.relative(wanted[1].path))
    found = explain([model("pooled")], people, replace(FEW, crops=names))
    assert found.crops == tuple(("chosen", crop) for crop in wanted)
    with pytest.raises(UserError, match=r"no query 'nobody\.png'"):
        explain([model("pooled")], people, replace(FEW, crops=("nobody.png",)))


def test_another_architecture_is_refused(people: Benchmark) -> None:
    with pytest.raises(UserError, match=r"sal-0 \(sal, 64x32\) is another architecture than pooled-0"):
        explain([model("pooled"), model("sal")], people, FEW)


def test_a_run_beside_itself_is_refused(people: Benchmark) -> None:
    one = model("pooled")
    with pytest.raises(UserError, match="pooled-0 is named twice"):
        explain([one, one], people, FEW)


@pytest.mark.parametrize("point", [(1.2, 0.5), (0.5, -0.1), (float("nan"), 0.5)])
def test_a_reference_point_outside_the_picture_is_refused(point: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="is outside the picture"):
        ExplanationChoices(points=(point,))


def test_a_reference_point_needs_attention_between_positions(people: Benchmark) -> None:
    with pytest.raises(UserError, match="pooled-0 has no second-order or non-local attention"):
        explain([model("pooled")], people, replace(FEW, points=((0.5, 0.5),)))


def test_too_few_crops_have_no_plane(people: Benchmark) -> None:
    one = people.query[0].person
    few = [tuple(crop for crop in part if crop.person == one) for part in (people.query, people.gallery)]
    found = explain([model("pooled")], replace(people, query=few[0], gallery=few[1]), FEW)
    assert list(contents(found)) == ["lists"]
    assert found.left_out[-1] == (
        "t-SNE needs 2 persons and 10 crops or more; the test part has 1 person and 6 crops."
    )


def test_the_frame_of_a_right_crop_is_whole_and_that_of_a_wrong_one_dashed(tmp_path: Path) -> None:
    grey = np.full((40, 20, 3), 90, np.uint8)
    views = [View(frame, grey, frame=frame) for frame in ("right", "wrong")]
    draw_sheet(PictureSheet((PictureRow("", 0, tuple(views)),))).savefig(tmp_path / "sheet.png")
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    shares = []
    for colour in (RIGHT, WRONG):
        near = abs(picture - list(bytes.fromhex(colour[1:]))).sum(2) < 60
        column = near.sum(0).argmax()  # through the left or right edge
        shares.append(near[:, column].sum() / 256)
    assert shares[0] > 0.97
    assert 0.4 < shares[1] < 0.8
