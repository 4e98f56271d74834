"""``resight ingest`` as a user types it: a folder of frames with given boxes into a gallery on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call, call_json
from onnx_files import write_embedder
from PIL import Image

from resight.errors import UserError
from resight.gallery.crops import Filter
from resight.gallery.gallery import Gallery
from resight.models.network import build_model
from resight.models.weights import save_weights

FRAMES = 12
PEOPLE = ((200, 40, 30), (20, 60, 190))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = build_model("han", 5, widths=(16, 16, 16), input_size=(80, 32), feature_size=64)
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    save_weights(model, path)
    return path


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two persons, a red and a blue one, pass in opposite directions; det.txt and gt.txt beside them."""
    folder = tmp_path / "lobby_2024-05-31T14-30-00Z"
    folder.mkdir()
    random = np.random.default_rng(0)
    found, known = [], []
    for index in range(FRAMES):
        pixels = random.integers(90, 130, (160, 240, 3), np.uint8)
        for person, (colour, left) in enumerate(
            zip(PEOPLE, (5 + 9 * index, 200 - 9 * index), strict=True), 1
        ):
            top = 10 + 60 * (person - 1)
            noisy = np.array(colour) + random.integers(0, 50, (80, 32, 3))
            pixels[top : top + 80, left : left + 32] = noisy.clip(0, 255)
            found.append(f"{index + 1},-1,{left + 1},{top + 1},32,80,0.9,-1,-1,-1")
            known.append(f"{index + 1},{person + 40},{left + 1},{top + 1},32,80,1,1,1")
        Image.fromarray(pixels).save(folder / f"{index + 1:06d}.png")
    (tmp_path / "det.txt").write_text("\n".join(found))
    (tmp_path / "gt.txt").write_text("\n".join(known))
    return folder


@pytest.mark.parametrize("boxes", ["det.txt", "gt.txt"])
def test_crops_lie_in_the_gallery_with_camera_time_source_and_box(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], boxes: str
) -> None:
    options = ["--camera", "lobby", "--gallery", tmp_path / "gallery", "--model", weights]
    options += ["--boxes", tmp_path / boxes, "--fps", 2, "--tag", "visit", "--crops-per-track", 3]
    result = call_json(capsys, "ingest", frames, *options)
    assert (result["frames"], result["boxes"], result["tracks"], result["crops"]) == (12, 24, 2, 6)
    assert (result["camera"], result["source"], result["already"]) == ("lobby", str(frames), False)
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert gallery.values("camera") == {"lobby": 6}
        assert gallery.values("source") == {str(frames): 6}
        tracks = {"track-41", "track-42"} if boxes == "gt.txt" else {"track-1", "track-2"}
        assert gallery.values("tags") == {"visit": 6, **dict.fromkeys(tracks, 3)}
        for track in tracks:
            crops, _ = gallery.page(Filter(tags=(track,)))
            tops = {crop.box[1] for crop in crops if crop.box}
            assert len(tops) == 1
            for crop in crops:
                assert crop.box is not None
                assert crop.time is not None
                assert crop.size == (80, 32)
                index = int(crop.name.rpartition(" ")[2])
                left = 5 + 9 * index if crop.box[1] == 10 else 200 - 9 * index
                assert crop.box == (left, crop.box[1], 32, 80)
                assert crop.time.isoformat()[:19] == f"2024-05-31T14:30:{index // 2:02d}"

    again = call_json(capsys, "ingest", frames, *options)
    assert again["already"]
    with pytest.raises(UserError, match=r"with other options \(every: 1, now 2\)"):
        call("ingest", frames, *options, "--every", 2)
    anew = call_json(capsys, "ingest", frames, *options, "--every", 2, "--again")
    assert anew["frames"] == 6
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert len(gallery) == anew["crops"]


def test_deleted_crops_stay_out_when_a_video_is_ingested_again(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--camera", "lobby", "--gallery", tmp_path / "gallery", "--boxes", tmp_path / "gt.txt"]
    options += ["--fps", 2, "--crops-per-track", 3]
    assert call_json(capsys, "ingest", frames, *options, "--model", weights)["left_out"] == []
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert gallery.forget(Filter(tags=("track-41",))) == 3
    (row,) = call_json(capsys, "ingest", frames, *options, "--again")["left_out"]
    assert (row["reason"], row["count"]) == (
        "a picture that was deleted from the gallery (--add-again adds it)",
        3,
    )
    assert row["example"].startswith("track 41, frame ")
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert gallery.values("tags") == {"track-42": 3}
        gallery.keep_for(30)
    call("ingest", frames, *options, "--again", "--add-again")
    assert "6 of these crops are older than 30 days" in capsys.readouterr().err


def test_it_tells_what_it_found_and_where_the_times_come_from(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--camera",
        "a",
        "--gallery",
        tmp_path / "g",
        "--model",
        weights,
        "--boxes",
        tmp_path / "gt.txt",
    ]
    call("ingest", frames, *options, "--timezone", "America/New_York")
    out, error = capsys.readouterr()
    assert "Tracks" in out
    assert "From 2024-05-31 10:30:00 to 2024-05-31 10:30:00, a guess." in out  # its --fps is
    assert "starts at 2024-05-31 10:30:00 EDT (from its name)" in error
    assert "Note: 25 frames per second is a guess. Give --fps." in error
    call("ingest", frames, *options, "--again", "--min-height", 90)
    out, error = capsys.readouterr()
    assert "Deleted 4 crops" in error
    assert f"Remove these: resight gallery compact --gallery {tmp_path}/g" in error


def test_a_time_that_is_a_guess_is_marked_as_one_in_the_gallery(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate, mark in (("known", ["--fps", 2], ""), ("guessed", [], "~")):
        place = ["--gallery", tmp_path / name]
        boxes = ["--boxes", tmp_path / "gt.txt", "--model", weights]
        found = call_json(capsys, "ingest", frames, *place, "--camera", "lobby", *boxes, *rate)
        assert (found["start_from"], found["time_guessed"]) == ("its name", bool(mark))
        with Gallery.open(tmp_path / name) as gallery:
            crops = list(gallery.crops())
        assert {crop.time_guessed for crop in crops} == {bool(mark)}
        assert crops[0].as_dict()["time_guessed"] is bool(mark)
        capsys.readouterr()
        zone = ["--timezone", "America/New_York"]
        call("gallery", "search", *place, "--crop", crops[0].id, "--before", "2024-05-31T10:30:06", *zone)
        out = capsys.readouterr().out
        assert f"lobby   {mark}2024-05-31 10:30:0" in out
        assert ("Times after ~ are guesses." in out) == bool(mark)


def test_the_gallery_knows_its_model(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--camera", "a", "--gallery", tmp_path / "g", "--boxes", tmp_path / "gt.txt"]
    first = call_json(capsys, "ingest", frames, *options, "--model", weights)
    options[1] = "b"
    assert call_json(capsys, "ingest", frames, *options)["crops"] == first["crops"] > 0


def test_a_gallery_of_an_earlier_build_is_refused_in_one_sentence(
    frames: Path, weights: Path, tmp_path: Path
) -> None:
    """``gallery.json`` as the build before the present format wrote it."""
    place = tmp_path / "old"
    (place / "crops-1").mkdir(parents=True)
    model = {"fingerprint": "b95fd8156d10201475f595381fe7711d", "name": "han", "width": 64}
    written = json.dumps(
        {"format": 1, "version": "0.1.0", "created": "2026-11-29T10:22:00.846823Z"}
        | {"model": model | {"weights": str(weights)}, "storage": "float32", "graph_from": None}
        | {"shards": 1, "replicas": 1, "store": "crops-1", "forget_after_days": None}
        | {"calibration": None, "reembedding": None}
    )
    (place / "gallery.json").write_text(written)
    options = ["--camera", "a", "--gallery", place, "--boxes", tmp_path / "gt.txt"]
    for model_option in ([], ["--model", weights]):
        with pytest.raises(UserError) as refused:
            call("ingest", frames, *options, *model_option)
        assert str(refused.value) == (
            f"The gallery {place} was made by an earlier version of Resight, in format 1, and this one reads "
            "format 3: create a new gallery in another place, from the same crops or videos, with "
            "'resight gallery add CROPS --gallery NEW --model MODEL' or 'resight ingest'."
        )
    assert (place / "gallery.json").read_text() == written
    assert (place / "crops-1").is_dir()


def test_what_does_not_fit_together_is_refused(frames: Path, weights: Path, tmp_path: Path) -> None:
    place = ["--camera", "lobby", "--gallery", tmp_path / "g", "--model", weights]
    boxes = ["--boxes", tmp_path / "det.txt"]
    for extra, message in (
        ([], "Give either --detector FILE.onnx to detect persons, or --boxes"),
        ([*boxes, "--detector", "x.onnx"], "Give either"),
        (["--detector", tmp_path / "none.onnx"], "There is no file"),
        (["--detector", "x.onnx", "--box-format", "xyxy"], "are for a file of boxes: leave them out"),
        ([*boxes, "--every", 0], "--every must be at least 1; got 0"),
        ([*boxes, "--crops-per-track", 0], "--crops-per-track must be at least 1"),
        ([*boxes, "--min-height", "nan"], "--min-height must be at least 1"),
        ([*boxes, "--fps", 0], "--fps must be at least 0.001"),
        ([*boxes, "--start", "yesterday"], "'yesterday' is not a time"),
        ([*boxes, "--timezone", "Mars"], "There is no time zone 'Mars'"),
        ([*boxes, "--duration", 5], "--duration is for addresses, and this is a path"),
    ):
        with pytest.raises(UserError, match=message):
            call("ingest", frames, *place, *extra)
    assert not (tmp_path / "g").exists()
    (tmp_path / "bad.txt").write_text("1,-1,1,1,9\n")
    with pytest.raises(UserError, match="line 1 has 5 columns"):
        call("ingest", frames, *place, "--boxes", tmp_path / "bad.txt")
    with pytest.raises(UserError, match="does not exist"):
        call("ingest", tmp_path / "none.mp4", *place, *boxes)


def test_boxes_of_another_video_are_refused(frames: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("900,-1,201,1,30,80,1\n")
    options = ["--camera", "a", "--gallery", tmp_path / "g", "--model", weights]
    with pytest.raises(UserError, match=r"there are 12 frames: 1 of 1 boxes .* Do they belong to the same"):
        call("ingest", frames, *options, "--boxes", tmp_path / "long.txt")


def test_what_a_file_of_boxes_leaves_out_is_in_the_result(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One box is of class 2, and one of frame 13, of 12."""
    lines = (tmp_path / "gt.txt").read_text().replace(",80,1,1,1", ",80,1,2,1", 1).splitlines()
    (tmp_path / "gt.txt").write_text("\n".join([*lines, "13,41,101,11,32,80,1,1,1"]))
    options = ["--camera", "a", "--gallery", tmp_path / "g", "--model", weights]
    result = call_json(capsys, "ingest", frames, *options, "--boxes", tmp_path / "gt.txt")
    assert result["boxes"] == 23
    assert result["left_out"] == [
        {"reason": "boxes of class 2, not a person", "count": 1, "example": "frame 1"},
        {"reason": "boxes in frames that are not there", "count": 1, "example": "frame 13"},
    ]


def test_boxes_without_a_crop_are_left_out_with_the_reason(
    frames: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--camera", "a", "--gallery", tmp_path / "g", "--model", weights]
    given = [*options, "--boxes", tmp_path / "det.txt"]
    result = call_json(capsys, "ingest", frames, *given, "--min-height", 90)
    small = "tracks of persons who are less than 90 pixels (--min-height) tall"
    assert (result["boxes"], result["crops"]) == (24, 0)
    assert result["left_out"] == [{"reason": small, "count": 2, "example": "track 1"}]
    call("ingest", frames, *given, "--min-height", 64, "--min-sightings", 20, "--again")
    out, error = capsys.readouterr()
    assert "0 crops of 24 boxes. Left out: 2 tracks of fewer than 20 boxes (--min-sightings)." in error
    assert "tracks of fewer than 20 boxes" in out
    (tmp_path / "weak.txt").write_text((tmp_path / "det.txt").read_text().replace(",0.9,", ",0.3,"))
    result = call_json(capsys, "ingest", frames, *options, "--boxes", tmp_path / "weak.txt", "--again")
    weak = "boxes in no track: their score is below 0.6"
    assert result["left_out"] == [{"reason": weak, "count": 24, "example": "frame 0"}]


def test_a_model_that_embeds_a_crop_as_nan_is_refused_by_the_crops_name(frames: Path, tmp_path: Path) -> None:
    """The logarithms of numbers below zero are NaN."""
    call("model", "import", write_embedder(tmp_path / "mine.onnx"), "--out", tmp_path / "model")
    write_embedder(tmp_path / "model" / "model.onnx", last="Log")
    place = ["--camera", "a", "--gallery", tmp_path / "g", "--model", tmp_path / "model"]
    with pytest.raises(UserError, match=r"The model embeds track 1, frame 1 as NaN or infinity"):
        call("ingest", frames, *place, "--boxes", tmp_path / "det.txt")
