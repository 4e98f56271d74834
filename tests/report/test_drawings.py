"""docs/images: which pictures a run is good for depends on its network and losses."""

import runpy
from pathlib import Path

import pytest
from PIL import Image

from resight.data.crop import Crop
from resight.errors import UserError
from resight.report.lists import RankedCrop, RankedList
from resight.training.reading import load_recipe

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(autouse=True)
def _among_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(IMAGES)


@pytest.mark.parametrize(
    ("recipe", "pictures"),
    [
        ("han-small-fast", ["ranked", "han"]),
        ("sal-fast", ["sal"]),
        ("sona-2-fast", ["sona"]),
        ("sona-23", ["sona"]),
        ("sona-3-fast", ["sona"]),
        ("sona-plain-fast", []),
        ("sharp-fast", ["sharp", "sharp_draws"]),
        ("sn", ["neighbours"]),
        ("softmax-fast", []),
    ],
)
def test_pictures_of_recipes(recipe: str, pictures: list[str]) -> None:
    figures_of = runpy.run_path(str(IMAGES / "draw.py"))["figures_of"]
    assert [
        draw.__name__ for draw in figures_of(load_recipe(recipe, ["name=own"], fitting=False))
    ] == pictures


def test_the_picture_frames_right_crops_green_and_wrong_ones_dashed_red(tmp_path: Path) -> None:
    drawing = runpy.run_path(str(IMAGES / "sheets.py"))
    crops = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (20, 40), (90, 90, 90)).save(path)
        crops.append(Crop(path, 1 if number < 2 else 2, number))
    hits = (RankedCrop(crops[1], 0.9, True), RankedCrop(crops[2], 0.4, False))
    drawing["ranked_lists_png"](
        [RankedList("best", crops[0], 1.0, 1, hits)], tmp_path / "lists.png", width=40, scale=1
    )
    picture = Image.open(tmp_path / "lists.png")
    colours = {colour for _, colour in picture.getcolors(1 << 16) or []}
    right, wrong = (tuple(bytes.fromhex(code[1:])) for code in (drawing["RIGHT"], drawing["WRONG"]))
    assert right in colours
    assert wrong in colours
    # left edges of the two hits: the frame of the first is whole, that of the second has gaps
    top, height = 26, 80
    green = [picture.getpixel((70, top + y)) for y in range(height)]
    red = [picture.getpixel((120, top + y)) for y in range(height)]
    assert set(green) == {right}
    assert set(red) == {wrong, (255, 255, 255)}


def test_an_unreadable_crop_is_named(tmp_path: Path) -> None:
    missing = Crop(tmp_path / "gone.png", 1, 1)
    entry = RankedList("best", missing, 1.0, 1, (RankedCrop(missing, 1.0, True),))
    with pytest.raises(UserError, match=r"gone\.png"):
        runpy.run_path(str(IMAGES / "sheets.py"))["ranked_lists_png"]([entry], tmp_path / "lists.png")
    assert not (tmp_path / "lists.png").exists()
