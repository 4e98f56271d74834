"""Folders made by rule: no traceback, ``data check`` and ``train`` agree, and counts add up to the files."""

import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calling import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.models.network import build_model
from resight.models.weights import save_weights


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


Files = dict[bytes, bytes | None]

PICTURES = [jpeg(seed) for seed in range(40)]
PERSONS = [
    "0000",
    "0001",
    "0002",
    "0003",
    "-1",
    "anna",
    "bob",
    "1",
    "10",
    "person_2",
    "7" * 20,
    "张".encode("gbk"),
]
FORMS = ["{p}_c{c}s1_{i:06}_00.jpg", "{p}_c{c}_f{i:07}.jpg", "{i}.jpg", "{i}.JPG", "{i}.jfif", "x{c}_{i}.jpg"]
LAYOUTS = [
    "{p}/{n}", "cam_{c}/{p}/{n}", "{p}/cam{c}/{n}", "gate{c}/{p}/{n}", "{n}", "data/{p}/{n}", 
    "{p}/a/b{c}/{n}",     "bounding_box_train/{n}", "cam{c}/{n}", "c{c}/{p}/day/{n}",
]  # fmt: skip
SPLITS = [("train", "val"), ("train", "query", "gallery"), ("image_train", "image_query", "image_test")]
SPLITS += [("bounding_box_train", "query", "bounding_box_test"), ("train",), ("train", "other")]
OTHERS = [
    "@eaDir/0001.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.jpg", ".DS_Store", "Thumbs.db", "a.heic",
    "readme.txt", ".thumbnails/b.jpg", "0001/@eaDir/c.jpg", "0001/notes.TXT", "LICENSE", 
    "deep/er/d.psd", "stray.jpg",
]  # fmt: skip


@st.composite
def folders(draw: st.DrawFn) -> Files:
    """Return the files of a folder: path -> contents; a link to the parent folder where they are None."""
    persons = draw(st.lists(st.sampled_from(PERSONS), min_size=2, max_size=6, unique=True))
    layout, form = draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(FORMS))
    parts = draw(st.one_of(st.just(("",)), st.sampled_from(SPLITS)))
    shared = draw(st.booleans())
    cameras, pictures = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    files: Files = {}
    for place, person in enumerate(persons):
        for part in parts if shared else [parts[place % len(parts)]]:
            for camera in range(1, cameras + 1):
                for picture in range(pictures):
                    label = "@" if isinstance(person, bytes) else person
                    name = form.format(p=label, c=camera, i=picture + 10 * camera)
                    path = layout.format(p=label, c=camera, n=name).encode()
                    path = os.path.join(part.encode(), path).replace(b"@", person if label == "@" else b"@")
                    files[path] = PICTURES[len(files) % len(PICTURES)]
    for other in draw(st.lists(st.sampled_from(OTHERS), max_size=4, unique=True)):
        files[other.encode()] = PICTURES[0]
    if draw(st.integers(0, 9)) == 0:
        files[draw(st.sampled_from(sorted(files)))] = draw(
            st.sampled_from([b"", b"no picture", PICTURES[1][:200]])
        )
    if draw(st.integers(0, 4)) == 0:
        files[os.path.join(os.path.dirname(draw(st.sampled_from(sorted(files)))), b"up")] = None
    return files


def write(files: Files, root: Path) -> None:
    for name, contents in files.items():
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if contents is None:
            os.symlink("..", path)
        else:
            with open(path, "wb") as stream:
                stream.write(contents)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[32, 32]), path)
    return path


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Return the JSON of a command, or the sentence with which it refused."""
    capsys.readouterr()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # as the program does
    try:
        call(*arguments, "--json")
    except UserError as error:
        return str(error)
    except SystemExit:
        pass  # data check found problems
    return json.loads(capsys.readouterr().out)


def check_folder(
    files: Files, weights: Path, capsys: pytest.CaptureFixture[str], *, use: bool = True
) -> None:
    work = Path(tempfile.mkdtemp())
    try:
        root = work / "crops"
        write(files, root)
        checked = outcome(capsys, "data", "check", root)
        usable = not isinstance(checked, str) and checked["usable"]
        if not isinstance(checked, str):
            found = open_benchmark(root)
            used = {crop.path for crop in (*found.train, *found.query, *found.gallery)}
            assert len(used) + found.left_out.total() == len(files), found.left_out.as_list()
        if not use:
            return
        small = ("--set", "model.input_size=[32, 32]", "--set", "model.trunk={name: osnet, width: 0.25}")
        trained = outcome(
            capsys, "train", "softmax-fast", "--data", root, "--epochs", 1, "--out", work / "run", *small
        )
        trainable = usable and "train" in checked["parts"]
        assert isinstance(trained, dict) == trainable, (checked, trained)
        added = outcome(
            capsys,
            "gallery",
            "add",
            root,
            "--gallery",
            work / "gallery",
            "--model",
            weights,
            "--device",
            "cpu",
        )
        assert isinstance(added, dict) or not usable, added
        if isinstance(added, dict):
            left_out = sum(row["count"] for row in added["left_out"])
            assert added["new"] + added["known"] + left_out == len(files), added
    finally:
        shutil.rmtree(work)


RULES = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=25, derandomize=True, **RULES)
@given(files=folders())
def test_any_folder(files: Files, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_folder(files, weights, capsys, use=len(files) % 6 == 0)


@pytest.mark.slow
@settings(max_examples=500, **RULES)
@given(files=folders())
def test_many_folders(files: Files, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_folder(files, weights, capsys)
