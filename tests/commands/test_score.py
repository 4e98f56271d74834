"""``resight score``: features from files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scoring import Arrays, draw, embedded, run

from resight.commands.feature_files import read_arrays
from resight.commands.main import main
from resight.commands.postprocessing import Postprocessing
from resight.commands.protocol_options import ProtocolOptions
from resight.commands.score import score
from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation.cameras import remove_camera_means
from resight.evaluation.expansion import augment_gallery, centralise_neighbours, expand_queries
from resight.evaluation.growing import evaluate_growing
from resight.evaluation.reranking import Reranking
from resight.evaluation.scores import evaluate


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for name, arrays in (("query", draw(1, 20)), ("gallery", draw(2, 70))):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path / "query.npz", tmp_path / "gallery.npz"


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ap", ["mean", "trapezoid"])
def test_json_has_the_scores_as_fractions_and_counts(files, capsys, metric, ap) -> None:
    result, messages = run(capsys, *files, metric=metric, ap=ap)
    expected = evaluate(embedded(draw(1, 20)), embedded(draw(2, 70)), metric=metric, ap=ap)
    named = {"query": str(files[0]), "gallery": str(files[1]), "camera_normalise": False}
    named |= dict.fromkeys(("centralise_neighbours", "augment_gallery", "expand_queries"), 0)
    assert result == expected.as_dict() | named
    assert {"mAP", "rank1", "rank5", "rank10", "rank20", "mINP", "queries"} <= set(result)
    assert 0 < result["mAP"] < 1
    assert messages == ""


def test_single_shots_and_the_opposite_side(files, capsys) -> None:
    result, _ = run(
        capsys, *files, protocol_options=ProtocolOptions(gallery_side="opposite", cmc="single-shot", draws=7)
    )
    protocol = Protocol(gallery_side="opposite", cmc="single-shot", draws=7)
    expected = evaluate(embedded(draw(1, 20)), embedded(draw(2, 70)), protocol)
    assert result.items() >= expected.as_dict().items()
    assert (result["draws"], result["cmc"], result["gallery_side"]) == (7, "single-shot", "opposite")
    score(*files, device="cpu", protocol_options=ProtocolOptions(gallery_side="opposite", cmc="single-shot"))
    assert "gallery of the other cameras, CMC of 100 single shots" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"--draws is the number of .*: use it with --cmc single-shot"):
        score(*files, protocol_options=ProtocolOptions(draws=7))
    with pytest.raises(UserError, match="needs one draw or more; got 0"):
        score(*files, protocol_options=ProtocolOptions(cmc="single-shot", draws=0))
    with pytest.raises(UserError, match="cameras must be known and"):
        score(*files, cross_camera=False, protocol_options=ProtocolOptions(gallery_side="opposite"))


@pytest.mark.parametrize("option", ["--cmc", "--gallery-side"])
def test_unknown_values_are_refused(files, option: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["resight", "score", *map(str, files), option, "sinlge"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code
    assert "sinlge" in "".join(capsys.readouterr())


def test_junk_may_take_part_in_reranking(files, capsys, tmp_path) -> None:
    gallery = draw(2, 70)
    gallery["persons"][::9] = -1
    np.savez(tmp_path / "gallery.npz", **gallery)
    result, _ = run(capsys, *files, postprocessing=Postprocessing(rerank=True, k1=9, rerank_junk=True))
    wanted = Reranking(k1=9, junk=True)
    assert result["mAP"] == evaluate(embedded(draw(1, 20)), embedded(gallery), reranking=wanted).mAP
    assert result["reranking"] == {"k1": 9, "k2": 6, "lambda": 0.3, "junk": True}
    with pytest.raises(UserError, match="--rerank-junk are options of re-ranking: use them with --rerank"):
        score(*files, postprocessing=Postprocessing(rerank_junk=True))


def test_the_command_line_keeps_json_apart_from_messages(files) -> None:
    command = [sys.executable, "-m", "resight", "score", *files, "--json", "--no-cross-camera"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["protocol"] == "every-other-image"
    assert "every other image of the query's person counts" in done.stderr
    done = subprocess.run([*command[:4], "nowhere.npz", files[1]], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("resight: There is no file nowhere.npz.")


def test_for_people_it_prints_per_cent(files, capsys) -> None:
    score(*files, device="cpu", ranks="1,3")
    printed = capsys.readouterr().out
    scores = evaluate(embedded(draw(1, 20)), embedded(draw(2, 70)))
    assert f"{100 * scores.mAP:.1f}" in printed
    assert "Rank-3" in printed
    assert "Rank-5" not in printed
    assert "20 of 20 queries have a match." in printed
    assert f"{scores.removed.same_camera_pairs} pairs of one person and one camera" in printed


def test_without_cameras_every_other_image_counts_and_it_says_so(tmp_path, capsys) -> None:
    paths = []
    for name, arrays in (("q", draw(1, 20)), ("g", draw(2, 70))):
        del arrays["cameras"]
        paths.append(tmp_path / f"{name}.npz")
        np.savez(paths[-1], **arrays)
    result, messages = run(capsys, *paths)
    expected = evaluate(embedded(draw(1, 20)), embedded(draw(2, 70)), EVERY_OTHER_IMAGE)
    assert result["mAP"] == expected.mAP
    assert "There are no cameras, so every other image of the query's person counts" in messages
    assert "assumed to share no crop" in messages


def test_one_file_as_both_does_not_find_a_query_itself(tmp_path, capsys) -> None:
    arrays = draw(2, 70)
    del arrays["cameras"]
    np.savez(tmp_path / "all.npz", **arrays)
    result, messages = run(capsys, tmp_path / "all.npz", tmp_path / "all.npz")
    assert result["removed"]["itself_pairs"] == 70
    assert result["rank1"] < 1
    assert "assumed to share no crop" not in messages


def test_items_tell_shared_crops(tmp_path, capsys) -> None:
    arrays = draw(2, 70)
    some = {name: array[10:30] for name, array in arrays.items()}
    np.savez(tmp_path / "q.npz", **some, items=np.arange(10, 30))
    np.savez(tmp_path / "g.npz", **arrays, items=np.arange(70))
    result, _ = run(capsys, tmp_path / "q.npz", tmp_path / "g.npz", cross_camera=False)
    assert result["removed"]["itself_pairs"] == 20


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4", "int8", "uint16"])
def test_any_real_numbers_are_features(tmp_path, capsys, kind) -> None:
    paths, sides = [], []
    for name, arrays in (("q", draw(1, 20)), ("g", draw(2, 70))):
        features = np.asfortranarray((np.abs(arrays["features"]) * 40 + 1).astype(kind))
        paths.append(tmp_path / f"{name}.npz")
        np.savez(
            paths[-1], **(arrays | {"features": features, "persons": arrays["persons"].astype(np.uint8)})
        )
        sides.append(embedded(arrays | {"features": features.astype(np.float64)}))
    result, _ = run(capsys, *paths)
    assert result["mAP"] == pytest.approx(evaluate(*sides).mAP, rel=1e-9)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def without(name: str) -> Arrays:
    return {key: array for key, array in draw(1, 20).items() if key != name}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (without("persons"), "has no array 'persons'; there are: 'features', 'cameras'"),
        (without("features"), "has no array 'features'; there are: 'persons', 'cameras'"),
        (
            without("cameras"),
            "bad.npz has no array 'cameras' for the queries, but there is one for the gallery",
        ),
        (without("features") | {"features": np.float32(1)}, r"'features' .* got the shape \(\)"),
        (without("features") | {"features": np.ones(20)}, r"'features' .* got the shape \(20,\)"),
        (without("features") | {"features": np.ones((20, 8), complex)}, "got the type complex128"),
        (without("features") | {"features": np.full((20, 8), "x")}, "got the type <U1"),
        (without("features") | {"features": np.ones((20, 8), bool)}, "got the type bool"),
        (without("features") | {"features": np.ones((20, 9))}, "got 9 and 8"),
        (without("features") | {"features": np.full((20, 8), np.nan)}, "In the query, 20 of 20 rows"),
        (
            without("persons") | {"persons": np.ones(19, int)},
            r"'persons' .* 20 features; got the shape \(19,\)",
        ),
        (
            without("persons") | {"persons": np.full(20, 1.5)},
            r"'persons' .* text; got 1\.5 in row 0",
        ),
        (
            without("persons") | {"persons": np.full(20, 2**63, np.uint64)},
            "'persons' .* got 9223372036854775808",
        ),
        (without("persons") | {"persons": np.full(20, 99)}, r"their person is not in the gallery \(20\)"),
        (without("cameras") | {"cameras": np.full((20, 2), 3)}, r"'cameras' .* got the shape \(20, 2\)"),
        (without("persons") | {"persons": np.array([Bomb()] * 20)}, "'persons' .* contains Python objects"),
    ],
)
def test_wrong_arrays_are_named(files, tmp_path, monkeypatch, arrays, message) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bad.npz", **arrays)
    with pytest.raises(UserError, match=message):
        score(Path("bad.npz"), files[1], device="cpu")
    assert not Path("executed").exists()


def test_files_that_are_no_archives_are_named(files, tmp_path) -> None:
    whole = files[0].read_bytes()
    damaged = bytearray(whole)
    damaged[200:260] = bytes(60)
    np.save(tmp_path / "one.npy", np.ones((20, 8)))
    cases = {
        "text.npz": (b"hello", "is not an .npz archive"),
        "empty.npz": (b"", "is not an .npz archive"),
        "short.npz": (whole[: len(whole) // 2], "is not an .npz archive, or it is cut short"),
        "one.npy": ((tmp_path / "one.npy").read_bytes(), "There are no labels beside .*one.npy"),
        "damaged.npz": (bytes(damaged), "'features' .* is damaged"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            score(files[0], tmp_path / name, device="cpu")
    with pytest.raises(UserError, match=r"has no array 'features'; there are: 'one'"):
        score(files[0], tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ("1,x", "got '1,x'"),
        ("", "got ''"),
        ("0", "count from 1; got 0"),
        ("1,99999999999999999999", "No gallery has that many crops: rank 99999999999999999999"),
    ],
)
def test_wrong_ranks_are_refused(files, ranks, message) -> None:
    with pytest.raises(UserError, match=message):
        score(*files, device="cpu", ranks=ranks)


def save_folder(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("kind", ["float16", "float32", ">f4", "uint8"])
def test_folders_score_as_archives(tmp_path, capsys, kind) -> None:
    sides = {name: draw(seed, crops) for name, seed, crops in (("q", 1, 20), ("g", 2, 70))}
    for name, arrays in sides.items():
        arrays["features"] = (np.abs(arrays["features"]) * 40 + 1).astype(kind)
        np.savez(tmp_path / f"{name}.npz", **arrays)
        save_folder(tmp_path / name, arrays)
    archives, _ = run(capsys, tmp_path / "q.npz", tmp_path / "g.npz")
    folders, _ = run(capsys, tmp_path / "q", tmp_path / "g" / "features.npy")
    names = ("query", "gallery")
    assert {k: v for k, v in folders.items() if k not in names} == {
        k: v for k, v in archives.items() if k not in names
    }


def test_features_in_a_folder_stay_on_disk_and_as_they_are(tmp_path) -> None:
    folder = save_folder(tmp_path / "q", draw(1, 20))
    arrays = read_arrays(folder)
    assert isinstance(arrays["features"], np.memmap) or isinstance(arrays["features"].base, np.memmap)
    before = (folder / "features.npy").read_bytes()
    score(folder, folder, device="cpu", postprocessing=Postprocessing(augment_gallery=2, expand_queries=2))
    assert (folder / "features.npy").read_bytes() == before


def test_one_folder_as_both_does_not_find_a_query_itself(tmp_path, capsys) -> None:
    folder = save_folder(tmp_path / "all", draw(2, 70))
    result, _ = run(capsys, folder, folder / "features.npy", cross_camera=False)
    assert result["removed"]["itself_pairs"] == 70


def test_broken_folders_are_named(files, tmp_path) -> None:
    arrays = draw(1, 20)
    cases = {
        "nothing": ({}, "nothing has no array 'features'; there are: none"),
        "alone": ({"features": arrays["features"]}, "alone has no array 'persons'; there are: 'features'"),
        "short": (arrays | {"persons": np.ones(19, int)}, r"'persons' in .*short must be \[N\]"),
        "bomb": (arrays | {"persons": np.array([Bomb()] * 20)}, "'persons' in .*bomb .* Python objects"),
    }
    for name, (content, message) in cases.items():
        with pytest.raises(UserError, match=message):
            score(save_folder(tmp_path / name, content), files[1], device="cpu")
    cut = save_folder(tmp_path / "cut", arrays) / "features.npy"
    cut.write_bytes(cut.read_bytes()[:300])
    with pytest.raises(UserError, match=r"'features' in .*cut is damaged"):
        score(cut, files[1], device="cpu")


def test_reranking_and_its_numbers(files, capsys) -> None:
    sides = embedded(draw(1, 20)), embedded(draw(2, 70))
    result, _ = run(capsys, *files, postprocessing=Postprocessing(rerank=True))
    assert result["mAP"] == evaluate(*sides, reranking=Reranking()).mAP != evaluate(*sides).mAP
    result, _ = run(capsys, *files, postprocessing=Postprocessing(rerank=True, k1=9, k2=3, original=0.5))
    assert result["mAP"] == evaluate(*sides, reranking=Reranking(9, 3, 0.5)).mAP
    assert result["reranking"] == {"k1": 9, "k2": 3, "lambda": 0.5}
    with pytest.raises(UserError, match="use them with --rerank"):
        score(*files, device="cpu", postprocessing=Postprocessing(original=0.5))
    with pytest.raises(UserError, match=r"k1 = 99 neighbours .* the gallery has 70 crops"):
        score(*files, device="cpu", postprocessing=Postprocessing(rerank=True, k1=99))


def test_the_command_line_knows_lambda(files) -> None:
    command = [sys.executable, "-m", "resight", "score", *files, "--json", "--rerank"]
    done = subprocess.run([*command, "--k1", "9", "--lambda", "0.5"], capture_output=True, text=True)
    assert json.loads(done.stdout)["reranking"] == {"k1": 9, "k2": 6, "lambda": 0.5}, done.stderr


def test_gallery_and_queries_are_averaged_in_this_order(files, capsys) -> None:
    query, gallery = embedded(draw(1, 20)), embedded(draw(2, 70))
    augmented = augment_gallery(gallery, 2)
    result, _ = run(capsys, *files, postprocessing=Postprocessing(augment_gallery=2, expand_queries=3))
    assert result["mAP"] == evaluate(expand_queries(query, augmented, 3), augmented).mAP
    assert (result["augment_gallery"], result["expand_queries"]) == (2, 3)
    result, _ = run(capsys, *files, postprocessing=Postprocessing(centralise_neighbours=2))
    assert result["mAP"] == evaluate(*centralise_neighbours(query, gallery, 2)).mAP
    with pytest.raises(UserError, match="From 1 to 70 neighbours"):
        score(*files, device="cpu", postprocessing=Postprocessing(expand_queries=71))
    with pytest.raises(UserError, match="--expand-queries is a number of neighbours, at least 0; got -3"):
        score(*files, device="cpu", postprocessing=Postprocessing(expand_queries=-3))
    score(*files, device="cpu", postprocessing=Postprocessing(rerank=True, expand_queries=3))
    assert "cosine, re-ranked, expand_queries: 3, market-1501" in capsys.readouterr().out.replace("\n", " ")


def test_cameras_means_are_removed_first(files, capsys, tmp_path) -> None:
    result, _ = run(capsys, *files, postprocessing=Postprocessing(camera_normalise=True, augment_gallery=2))
    query, gallery = remove_camera_means(embedded(draw(1, 20)), embedded(draw(2, 70)))
    assert result["mAP"] == evaluate(query, augment_gallery(gallery, 2)).mAP
    assert result["camera_normalise"]
    np.savez(tmp_path / "elsewhere.npz", **draw(1, 20) | {"cameras": np.full(20, 7)})
    _, messages = run(
        capsys, tmp_path / "elsewhere.npz", files[1], postprocessing=Postprocessing(camera_normalise=True)
    )
    assert "the means include no crop from 1 of the cameras (7)" in messages
    without = {name: array for name, array in draw(1, 20).items() if name != "cameras"}
    np.savez(tmp_path / "without.npz", **without)
    with pytest.raises(UserError, match="crops' cameras are not known"):
        score(
            tmp_path / "without.npz",
            tmp_path / "without.npz",
            postprocessing=Postprocessing(camera_normalise=True),
        )


def test_distractors_give_a_curve(files, tmp_path, capsys) -> None:
    features = draw(3, 50)["features"]
    np.save(tmp_path / "more.npy", features)
    result, _ = run(capsys, *files, distractors=tmp_path / "more.npy", step=20)
    sides = embedded(draw(1, 20)), embedded(draw(2, 70))
    expected = evaluate_growing(*sides, torch.from_numpy(features), (0, 20, 40, 50))
    assert [step["count"] for step in result["distractors"]] == [0, 20, 40, 50]
    assert [step["mAP"] for step in result["distractors"]] == [scores.mAP for scores in expected]
    assert [step["rank1"] for step in result["distractors"]] == [scores.rank(1) for scores in expected]
    assert result["mAP"] == expected[0].mAP
    score(*files, device="cpu", distractors=tmp_path / "more.npy")
    lines = capsys.readouterr().out.splitlines()
    assert any(f"{100 * expected[3].mAP:.1f}" in line and " 50 " in line for line in lines)
    for options, message in (
        ({"postprocessing": Postprocessing(rerank=True)}, "Use --distractors without these"),
        ({"step": 0}, "--step must be at least 1; got 0"),
        ({"distractors": files[1]}, r"is an archive. Give a \.npy file"),
        ({"distractors": tmp_path}, "There is no file .*features.npy"),
    ):
        with pytest.raises(UserError, match=message):
            score(*files, device="cpu", **({"distractors": tmp_path / "more.npy"} | options))


def test_label_zero_is_a_person_where_a_query_has_it(tmp_path, capsys) -> None:
    features = np.eye(10, dtype=np.float32)
    files = []
    for camera, name in enumerate(("q", "g")):
        labels = {"persons": np.arange(10), "cameras": np.full(10, camera)}
        np.savez(tmp_path / f"{name}.npz", features=features, **labels)
        files.append(tmp_path / f"{name}.npz")
    result, messages = run(capsys, *files)
    assert (result["queries"], result["total_queries"]) == (10, 10)
    assert "Note: label 0 is a person, as a query has it" in messages


def test_matches_in_the_same_clothes_can_be_ignored(tmp_path, capsys) -> None:
    features = np.eye(4, dtype=np.float32)
    files = []
    for camera, name in enumerate(("q", "g")):
        labels = {"persons": np.array([1, 1, 2, 2]), "cameras": np.full(4, camera)}
        np.savez(tmp_path / f"{name}.npz", features=features, clothes=np.array([1, 2, 1, 2]), **labels)
        files.append(tmp_path / f"{name}.npz")
    assert run(capsys, *files)[0]["rank1"] == 1
    result, _ = run(capsys, *files, protocol_options=ProtocolOptions(cross_clothes=True))
    assert result["cross_clothes"] is True
    assert (result["queries"], result["rank1"]) == (4, 0)
