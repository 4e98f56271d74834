"""Sets with clothes and tracks, from made-up files; the protocols that use them."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import io

from resight.data.benchmark import Protocol
from resight.data.crop import DISTRACTOR
from resight.data.matching import count_matches
from resight.data.opening import open_benchmark
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import evaluate
from resight.training.testing import embed_benchmark

WriteImages = Callable[[Iterable[str]], Path]


def test_ltcc_and_matches_in_other_clothes(write_images: WriteImages) -> None:
    train = [f"train/{p:03}_{k}_c{c}_000001.png" for p in (1, 2) for k in (1, 2) for c in (3, 4)]
    test = ["query/094_1_c9_015833.png", "test/094_1_c5_015834.png", "test/094_2_c6_000001.png"]
    found = open_benchmark(write_images([*train, *test]))
    assert [(found.names[crop.person], crop.camera, crop.clothes) for crop in found.gallery] == [
        ("094", 5, 1),
        ("094", 6, 2),
    ]
    assert (len(found.train), found.query[0].camera, found.query[0].clothes) == (8, 9, 1)
    assert count_matches(found).pairs == 2


def test_vc_clothes(write_images: WriteImages) -> None:
    test = [f"{part}/0005-{camera:02}-{clothes:02}-00.jpg" for part, camera, clothes in [
        ("query", 3, 1), ("gallery", 4, 1), ("gallery", 4, 2),
    ]]  # fmt: skip
    found = open_benchmark(
        write_images([*(f"train/000{p}-01-02-0{i}.jpg" for p in "12" for i in "12"), *test])
    )
    assert [(crop.camera, crop.clothes) for crop in (*found.query, *found.gallery)] == [
        (3, 1),
        (4, 1),
        (4, 2),
    ]
    assert any("--cross-clothes" in note for note in found.notes)


@pytest.mark.parametrize(("queries", "camera", "clothes"), [("changed", 3, 2), ("same", 2, 1)])
def test_prcc(write_images: WriteImages, queries: str, camera: int, clothes: int) -> None:
    train = [f"rgb/train/{p:03}/{view}_cropped_rgb001.jpg" for p in (1, 2) for view in "ABC"]
    test = [f"rgb/test/{view}/{p:03}/cropped_rgb{i:03}.jpg" for view in "ABC" for p in (7, 9) for i in (1, 2)]
    root = write_images([*train, *test, "rgb/val/001/A_cropped_rgb002.jpg"])
    found = open_benchmark(root, reader=f"prcc,queries={queries}")
    assert Counter((crop.camera, crop.clothes) for crop in found.train) == {(1, 1): 2, (2, 1): 2, (3, 2): 2}
    assert {(crop.camera, crop.clothes) for crop in found.query} == {(camera, clothes)}
    assert ({crop.camera for crop in found.gallery}, found.protocol.cmc) == ({1}, "single-shot")
    assert found.left_out.total() == 5  # the other queries, and val


def mars(person: str, camera: int, track: int, frame: int = 1) -> str:
    return f"{person}/{person}C{camera}T{track:04}F{frame:03}.jpg"


MARS_TEST = [mars("0002", c, t, f) for c in (1, 2) for t in (1, 2) for f in (1, 2)]


def test_mars_is_scored_by_tracks(write_images: WriteImages) -> None:
    train = [f"bbox_train/{mars(p, c, 1)}" for p in ("0001", "0003") for c in (1, 2)]
    others = [mars("00-1", 1, 1), mars("0000", 2, 7)]
    found = open_benchmark(write_images([*train, *(f"bbox_test/{name}" for name in (*MARS_TEST, *others))]))
    assert Counter((crop.person, crop.camera, crop.track) for crop in found.query) == {
        (2, 1, 1): 2,
        (2, 2, 1): 2,
    }
    assert Counter((crop.person, crop.camera, crop.track) for crop in found.gallery) == {
        (2, 1, 2): 2, (2, 2, 2): 2, (DISTRACTOR, 2, 7): 1,
    }  # fmt: skip
    assert found.protocol == Protocol("mars", tracks=True)

    class Frames:
        picture_size, resizing = (8, 4), __import__("resight.imaging").imaging.STRETCHED

        def embed(self, pixels: np.ndarray, paths: list[Path]) -> torch.Tensor:
            return torch.tensor([[float(path.stem[-3:]), 1.0] for path in paths])

    embedded = embed_benchmark(Frames(), found)
    assert embedded.query.features.tolist() == [[1.5, 1.0], [1.5, 1.0]]
    assert (len(embedded.gallery), len(embedded.gallery_crops)) == (3, 3)
    assert embedded.gallery.persons.tolist().count(DISTRACTOR) == 1


def test_published_queries_of_mars(write_images: WriteImages) -> None:
    files = [f"bbox_train/{mars(p, 1, 1)}" for p in ("0001", "0003")] + [
        f"bbox_test/{name}" for name in MARS_TEST
    ]
    root = write_images(files)
    (root / "info").mkdir()
    (root / "info" / "test_name.txt").write_text("\n".join(Path(name).name for name in MARS_TEST))
    rows = np.array([[1, 2, 2, 1], [3, 4, 2, 1], [5, 6, 2, 2], [7, 8, 2, 2]])
    io.savemat(root / "info" / "tracks_test_info.mat", {"track_test_info": rows})
    io.savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[2]])})
    found = open_benchmark(root)
    assert {(crop.camera, crop.track) for crop in found.query} == {(1, 2)}
    io.savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[5]])})
    with pytest.raises(UserError, match=r"query_IDX\.mat names the track 5, but .* has 4"):
        open_benchmark(root)
    io.savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[2]])})
    (root / "info" / "test_name.txt").write_text("\n".join(Path(name).name for name in MARS_TEST[:2]))
    with pytest.raises(UserError, match=r"Line 3 of .*test_name\.txt, which the queries name, is missing"):
        open_benchmark(root)
    (root / "info" / "test_name.txt").unlink()
    with pytest.raises(UserError, match=r"test_name\.txt cannot be read"):
        open_benchmark(root)


def test_ilids_vid(write_images: WriteImages) -> None:
    files = [
        f"i-LIDS-VID/sequences/cam{c}/person{p:03}/cam{c}_{i}.png"
        for c in (1, 2)
        for p in range(1, 9)
        for i in "12"
    ]
    root = write_images(files)
    found = open_benchmark(root, split=3)
    assert (len(found.train), len(found.query), len(found.gallery)) == (16, 8, 8)
    assert {crop.camera for crop in found.query} == {1}
    assert {crop.person for crop in found.query} == {crop.person for crop in found.gallery}
    assert found.query != open_benchmark(root, split=4).query
    order = np.tile(np.arange(8, 0, -1), (10, 1))
    io.savemat(root / "train_test_splits_ilidsvid.mat", {"ls_set": order})
    assert {crop.person for crop in open_benchmark(root).query} == {5, 6, 7, 8}


@pytest.mark.parametrize(
    ("name", "person", "camera"),
    [
        ("479_c1s3_016471.jpg", "479", 1),
        ("00012_s03_c11_f001234.jpg", "00012", 1),
        ("p11014_s15533.jpg", "11014", None),
    ],
)
def test_names_of_other_sets(write_images: WriteImages, name: str, person: str, camera: int | None) -> None:
    found = open_benchmark(
        write_images([name, name.replace(person, "777"), name.replace("3", "4")]), holdout=0
    )
    assert person in found.names.values()
    assert found.train[0].camera == camera


def test_matches_in_the_same_clothes_do_not_count() -> None:
    labels = {"persons": torch.tensor([1]), "cameras": torch.tensor([1]), "clothes": torch.tensor([1])}
    query = Embedded(torch.tensor([[1.0, 0.0]]), **labels)
    gallery = Embedded(
        torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5]]),
        torch.tensor([1, 2, 1]),
        torch.tensor([2, 2, 2]),
        clothes=torch.tensor([1, 1, 2]),
    )
    assert evaluate(query, gallery, Protocol()).rank(1) == 1
    changed = evaluate(query, gallery, Protocol(cross_clothes=True))
    assert (changed.rank(1), changed.mAP, changed.removed.same_camera_pairs) == (0, 0.5, 1)
    with pytest.raises(UserError, match="has no labels of clothes"):
        evaluate(
            Embedded(query.features, query.persons, query.cameras), gallery, Protocol(cross_clothes=True)
        )


def test_two_cameras_are_not_yet_ilids_vid(write_images: WriteImages) -> None:
    root = write_images(f"cam{c}/{p:04}/{i}.jpg" for c in (1, 2) for p in (1, 2) for i in (1, 2))
    assert open_benchmark(root, holdout=0).protocol == Protocol()
    with pytest.raises(UserError, match="0 persons with a track under both cameras"):
        open_benchmark(write_images(["x/cam1/person001/1.png", "x/cam2/person002/1.png"]) / "x")
