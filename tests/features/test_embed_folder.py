"""Embedding into a folder: what lies there, and that it outlives every kill."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import embedding_jobs
import numpy as np
import pytest
import torch
from embedding_jobs import BATCH, CHUNK, draw_pictures, minute

import resight.features.decoder
import resight.features.embedding
import resight.features.folder_in_progress
from resight import __version__
from resight.errors import UserError
from resight.features.crop_list import CropList, crops_to_embed
from resight.features.decoder import Decoder
from resight.features.embedding import embed_crops
from resight.features.folder import Plan, read_info
from resight.features.folder_in_progress import FolderInProgress
from resight.imaging import read_image
from resight.inference.embedder import Embedder
from resight.models.embedding import PixelEmbedder
from resight.models.fingerprint import fingerprint

COUNT = 29
CHUNKS = 4
FIXED = {"batch_size": BATCH, "precision": "float32"}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resight.features.embedding, "CHUNK", CHUNK)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    draw_pictures(folder, [f"{number:02}.png" for number in range(COUNT)])
    return folder


@pytest.fixture(scope="module")
def expected(data: Path) -> np.ndarray:
    pixels = np.stack([read_image(path, (16, 8)) for path in sorted(data.iterdir())])
    return PixelEmbedder(minute(), **FIXED, device=torch.device("cpu")).embed(pixels).numpy()


def embed(data: Path | CropList, out: Path, seed: int = 0, **options: object) -> dict:
    crops = data if isinstance(data, CropList) else crops_to_embed(data)
    kept = {name: options.pop(name) for name in ("dtype", "skip_unreadable") if name in options}
    return embed_crops(Embedder(minute(seed), device="cpu", **FIXED | options), crops, out, **kept)


def jobs(*each: Sequence[object]) -> tuple[list[list[int]], str]:
    """Run jobs one after the other; return the exit statuses of each one's processes, and what they said."""
    plan = json.dumps([[str(argument) for argument in arguments] for arguments in each])
    command = [sys.executable, embedding_jobs.__file__, plan]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return json.loads(done.stdout), done.stderr


def assert_whole(out: Path, expected: np.ndarray, data: Path) -> None:
    features = np.load(out / "features.npy", mmap_mode="r")
    assert np.array_equal(features, expected)
    lines = (out / "paths.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [str(path) for path in sorted(data.iterdir())]
    info = read_info(out)
    assert info is not None
    assert info["rows"] == len(expected)
    assert not (out / "unfinished").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_rows_are_the_bits_that_evaluation_computes(data, expected, tmp_path) -> None:
    info = embed(data, tmp_path / "out")
    assert_whole(tmp_path / "out", expected, data)
    assert info["fingerprint"] == fingerprint(minute())
    assert (info["model"], info["dtype"], info["views"], info["width"]) == ("minute", "float32", "one", 16)
    assert (info["crops"], info["unreadable"], info["counts"]) == (COUNT, [], {})
    assert info["versions"]["resight"] == __version__
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "features.npy",
        "info.json",
        "items.npy",
        "paths.jsonl",
    ]


def test_settings_decide_the_rows(data, expected, tmp_path) -> None:
    embed(data, tmp_path / "half", dtype="float16")
    half = np.load(tmp_path / "half" / "features.npy")
    assert half.dtype == np.float16
    assert np.array_equal(half, expected.astype(np.float16))
    info = embed(data, tmp_path / "global", branches=["global"])
    assert np.array_equal(np.load(tmp_path / "global" / "features.npy"), expected[:, :6])
    assert info["branches"] == ["global"]
    mirrored = embed(data, tmp_path / "mirror", views="mirror")
    assert not np.allclose(np.load(tmp_path / "mirror" / "features.npy"), expected)
    ten = embed(data, tmp_path / "ten", views="ten-crop")
    assert len({info["fingerprint"], mirrored["fingerprint"], ten["fingerprint"], fingerprint(minute())}) == 4


def test_labels_are_written_where_they_are_known(data, tmp_path) -> None:
    paths = tuple(sorted(data.iterdir()))
    persons, cameras = np.arange(COUNT) % 5 - 1, np.arange(COUNT) % 3
    crops = CropList(data, "all", paths, persons, cameras, names={1: "Ann", 2: "Bo"})
    info = embed(crops, tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out" / "persons.npy"), persons)
    assert np.array_equal(np.load(tmp_path / "out" / "cameras.npy"), cameras)
    assert json.loads((tmp_path / "out" / "names.json").read_text()) == {"1": "Ann", "2": "Bo"}
    assert info["counts"] == {"persons": 3, "cameras": 3}
    items = np.load(tmp_path / "out" / "items.npy")
    assert len(set(items)) == COUNT
    embed(CropList(data, "query", paths[5:9]), tmp_path / "query")
    assert np.array_equal(np.load(tmp_path / "query" / "items.npy"), items[5:9])


def test_killed_anywhere_it_loses_no_finished_chunk_and_ends_the_same(data, expected, tmp_path) -> None:
    events = 2 * CHUNKS + 1 + 4 + CHUNKS  # of chunks, of the plan, of what is at the end, and moving chunks
    moments = random.sample(range(1, 2 * events), 5)
    assert_outlives(moments, data, expected, tmp_path)


@pytest.mark.slow
def test_killed_at_each_moment_it_ends_the_same(data, expected, tmp_path) -> None:
    assert_outlives(range(1, 60), data, expected, tmp_path)


def assert_outlives(moments: Sequence[int], data: Path, expected: np.ndarray, folder: Path) -> None:
    """Kill at a moment, look at what is finished, kill once more, go on to the end."""
    first = [(data, folder / f"{moment}", "--kill-at", moment) for moment in moments]
    statuses, messages = jobs(*first)
    assert {status for one in statuses for status in one} <= {0, -signal.SIGKILL}, messages
    assert -signal.SIGKILL in statuses[0] or len(moments) < 3
    finished = {}
    for moment in moments:
        marks = (folder / f"{moment}" / "unfinished").glob("[0-9]*.json")
        finished[moment] = {int(path.stem) for path in marks}
    again = [
        (data, folder / f"{moment}", "--log", folder / f"{moment}.log", *options)
        for moment in moments
        for options in (("--kill-at", 3), ())
    ]
    statuses, messages = jobs(*again)
    assert {status for one in statuses[1::2] for status in one} == {0}, messages
    for moment in moments:
        assert_whole(folder / f"{moment}", expected, data)
        log = folder / f"{moment}.log"
        read = Counter(int(line[:2]) for line in log.read_text().split()) if log.exists() else Counter()
        assert not {crop // CHUNK for crop in read} & finished[moment], moment
        assert set(read.values()) <= {1, 2}, moment


def test_two_processes_share_the_work(data, expected, tmp_path) -> None:
    logs = tmp_path / "read.log"
    statuses, messages = jobs(
        (data, tmp_path / "shared", "--processes", 2, "--log", logs),
        (data, tmp_path / "mixed", "--processes", 2, "--seeds", 0, 1),
    )
    assert statuses[0] == [0, 0], messages
    assert_whole(tmp_path / "shared", expected, data)
    assert sorted(logs.read_text().split()) == [path.name for path in sorted(data.iterdir())]
    assert statuses[1] == [1, 1]
    assert "Process 1 differs from process 0: model (minute " in messages
    assert "Another process has stopped" in messages


def test_the_same_again_does_nothing(data, tmp_path, monkeypatch, capsys) -> None:
    info = embed(data, tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(resight.features.decoder, "read_file", None)
    assert embed(data, tmp_path / "out") == info
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert "nothing to embed" in capsys.readouterr().err


@pytest.mark.parametrize("finished", [True, False])
def test_another_plan_is_refused_by_name(data, tmp_path, monkeypatch, finished) -> None:
    if not finished:
        monkeypatch.setattr(FolderInProgress, "finish", interrupt)
    out = tmp_path / "out"
    if finished:
        embed(data, out)
    else:
        with pytest.raises(KeyboardInterrupt):
            embed(data, out)
    begun = "has other embeddings" if finished else "was begun with other settings"
    for changes, named in (
        ({"seed": 1}, r"model \(minute \w{8}, not minute \w{8}\)"),
        ({"dtype": "float16"}, r"dtype \(float32, not float16\)"),
        ({"branches": ["local"]}, r"branches \(all, not local\)"),
        ({"precision": "bfloat16"}, r"precision \(float32, not bfloat16\)"),
        ({"batch_size": 8, "dtype": "float16"}, r"dtype \(.*\); batch \(4, not 8\)"),
    ):
        with pytest.raises(UserError, match=f"{begun}: {named}. Use the original model, data and options"):
            embed(data, out, **changes)
    fewer = CropList(data, "all", tuple(sorted(data.iterdir()))[1:])
    with pytest.raises(UserError, match=r"data \(29 crops of .*, not 28 crops of .*\)"):
        embed(fewer, out)
    labelled = CropList(data, "all", tuple(sorted(data.iterdir())), persons=np.ones(COUNT, np.int64))
    with pytest.raises(UserError, match=r"data \(29 crops"):
        embed(labelled, out)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_one_command_at_a_time_writes_a_folder(data, tmp_path, monkeypatch) -> None:
    def meanwhile(*_: object) -> None:
        with pytest.raises(UserError, match=r"Another process is embedding into .*out. Wait for it"):
            embed(data, tmp_path / "out")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FolderInProgress, "finish", meanwhile)
        with pytest.raises(KeyboardInterrupt):
            embed(data, tmp_path / "out")
    with pytest.raises(UserError, match=r"out is not finished: 4 of 4 chunks are embedded\."):
        read_info(tmp_path / "out")
    assert embed(data, tmp_path / "out")["rows"] == COUNT


def test_other_things_are_left_alone(data, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match="exists and is not a folder of embeddings"):
            embed(data, out)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_unreadable_crops_stop_it_or_are_left_out(tmp_path, expected, data) -> None:
    folder = tmp_path / "crops"
    paths = draw_pictures(folder, [f"{number:02}.png" for number in range(COUNT)])
    whole = paths[10].read_bytes()
    for broken in (paths[10], paths[11], paths[28]):
        broken.write_bytes(whole[:40])
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"10\.png holds no whole image.*--skip-unreadable.*resume"):
        embed(folder, out)
    info = embed(folder, out, skip_unreadable=True)
    kept = np.delete(np.arange(COUNT), [10, 11, 28])
    assert np.allclose(np.load(out / "features.npy"), expected[kept], atol=1e-6)
    assert info["rows"] == len(np.load(out / "items.npy")) == COUNT - 3
    assert [reason.split()[0] for reason in info["unreadable"]] == [str(paths[n]) for n in (10, 11, 28)]
    named = [json.loads(line) for line in (out / "paths.jsonl").read_text().splitlines()]
    assert named == [str(paths[row]) for row in kept]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"None of the 29 crops can be read. The first: .*00.png is empty"):
        embed(folder, tmp_path / "none", skip_unreadable=True)


def test_crops_that_were_left_out_are_read_again_without_that_wish(tmp_path, expected, monkeypatch) -> None:
    folder = tmp_path / "crops"
    paths = draw_pictures(folder, [f"{number:02}.png" for number in range(COUNT)])
    whole = paths[10].read_bytes()
    paths[10].write_bytes(whole[:40])
    with monkeypatch.context() as patched:
        patched.setattr(FolderInProgress, "finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            embed(folder, tmp_path / "out", skip_unreadable=True)
    paths[10].write_bytes(whole)
    embed(folder, tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out" / "features.npy"), expected)


def test_a_full_disk_is_said_in_a_sentence_and_what_is_finished_stays(
    data, expected, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "out"
    row = expected.shape[1] * 4
    (status, *_), messages = jobs((data, out, "--disk", 128 + CHUNK * row - 1))
    assert status == [1]
    assert "Cannot write" in messages
    assert "File too large" in messages
    assert "run the command again" in messages
    (status, *_), messages = jobs((data, out, "--disk", 128 + 2 * CHUNK * row))  # enough for each chunk alone
    assert status == [1]
    assert "Cannot write" in messages
    monkeypatch.setattr(resight.features.decoder, "read_file", None)
    embed(data, out)
    assert_whole(out, expected, data)


def test_a_disk_that_is_too_small_is_refused_before_the_work(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(
        UserError, match=r"features of 29 crops need \d+\.\d MB\. Store half as much with --dtype"
    ):
        embed(data, tmp_path / "out")


@pytest.mark.parametrize("held", [0, 100, 1 << 30])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_turns_and_reading_ahead_change_no_row(data, monkeypatch, held, device) -> None:
    """However much is read ahead, and whether decoders take turns with the network, or work beside it."""
    monkeypatch.setattr(resight.features.decoder, "READ_AHEAD_BYTES", held)
    monkeypatch.setattr(resight.features.decoder, "TURN", 2 * BATCH)
    monkeypatch.setattr(torch, "empty", functools.partial(unpinned, torch.empty))
    paths = sorted(data.iterdir())
    plan = Plan.model_construct(batch=BATCH, chunk=CHUNK, crops=COUNT)
    decoder = Decoder(paths, (16, 8), torch.device(device), plan, skip_unreadable=False)
    found, parts = [], []
    for batch in decoder.batches(iter((2, 0, 3))):
        found.append(batch)
        parts.append(batch.read()[0].numpy())
    crops = [crop for batch in found for crop in batch.crops]
    assert crops == [*range(16, 24), *range(8), *range(24, COUNT)]
    assert [batch.chunk for batch in found if batch.last] == [2, 0, 3]
    assert np.array_equal(
        np.concatenate(parts), np.stack([read_image(paths[crop], (16, 8)) for crop in crops])
    )


def unpinned(empty: Callable[..., torch.Tensor], *shape: int, pin_memory: bool = False, **more: object):
    """Allocate as where there is no GPU."""
    return empty(*shape, **more)


def test_on_a_cpu_nothing_is_decoded_while_the_network_computes(data, monkeypatch) -> None:
    monkeypatch.setattr(resight.features.decoder, "TURN", 2 * BATCH)
    plan = Plan.model_construct(batch=BATCH, chunk=CHUNK, crops=COUNT)
    decoder = Decoder(sorted(data.iterdir()), (16, 8), torch.device("cpu"), plan, skip_unreadable=False)
    decoded = 0
    count = resight.features.decoder.decode_file

    def counted(*arguments: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return count(*arguments)

    monkeypatch.setattr(resight.features.decoder, "decode_file", counted)
    seen = []
    for _ in decoder.batches(iter(range(CHUNKS))):
        before = decoded
        time.sleep(0.02)
        assert decoded == before
        seen.append(decoded)
    assert seen == [8, 8, 16, 16, 24, 24, 29, 29]


def test_chunks_are_joined_few_at_a_time(data, expected, tmp_path, monkeypatch) -> None:
    row = expected.shape[1] * 4
    monkeypatch.setattr(resight.features.folder_in_progress, "MAX_DUPLICATED", 2 * CHUNK * row)
    embed(data, tmp_path / "out")
    assert_whole(tmp_path / "out", expected, data)
