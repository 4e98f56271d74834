"""MSMT17, CUHK01 and VIPeR from made-up files; drawing; listings; merging."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.data.drawing import draw_persons, single_shot
from resight.data.listing import save_listing
from resight.data.opening import open_benchmark, reopen
from resight.data.published import compare
from resight.errors import UserError

WriteImages = Callable[[Iterable[str]], Path]


def msmt(person: int, image: int, camera: int) -> str:
    return f"{person:04}/{person:04}_{image:03}_{camera:02}_0303morning_0008_0.jpg"


def ex(path: str) -> str:
    """Return the second form of the set's names, in which numbers follow the camera's that look like it."""
    return path.replace("_0.jpg", "_1_ex.jpg")


LISTS = {
    "train": [msmt(0, 0, 1), ex(msmt(0, 1, 15)), msmt(1, 0, 2)],
    "val": [msmt(1, 1, 3)],
    "query": [msmt(0, 0, 1), msmt(1, 0, 4)],
    "gallery": [msmt(0, 1, 5), ex(msmt(0, 2, 1)), msmt(1, 1, 6)],
}


def make_msmt(write_images: WriteImages, train: str = "train", test: str = "test") -> Path:
    folder = {"train": train, "val": train, "query": test, "gallery": test}
    root = write_images(f"{folder[name]}/{path}" for name, paths in LISTS.items() for path in paths)
    for name, paths in LISTS.items():
        lines = (f"{path} {int(path[:4])}\n" for path in paths)
        (root / f"list_{name}.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_msmt17_by_its_lists(write_images: WriteImages, version: str) -> None:
    names = ("train", "test") if version == "V1" else ("mask_train_v2", "mask_test_v2")
    root = make_msmt(write_images, *names)
    found = open_benchmark(root)
    assert [(crop.person, crop.camera) for crop in found.train] == [(1, 1), (1, 15), (2, 2), (2, 3)]
    # persons of the test are others, though their numbers begin at 0 again
    assert [(crop.person, crop.camera) for crop in found.query] == [(3, 1), (4, 4)]
    assert [(crop.person, crop.camera) for crop in found.gallery] == [(3, 5), (3, 1), (4, 6)]
    assert found.names[3] == "test 0000"
    assert found.notes == (f"Version {version}: {' and '.join(names)}.",)
    assert open_benchmark(root, reader=f"msmt17,version={version}").query == found.query
    other = {"V1": "V2", "V2": "V1"}[version]
    with pytest.raises(UserError, match=f"version {other} .* the folders of version {version} are there"):
        open_benchmark(root, reader=f"msmt17,version={other}")
    without = open_benchmark(root, reader="msmt17,validation=leave-out")
    assert (len(without.train), without.notes) == (3, found.notes)
    assert "query: 2 of 11,659 crops" in compare(found)[0]


def test_msmt17_missing_extra_and_mixed_up(write_images: WriteImages) -> None:
    root = make_msmt(write_images)
    (root / "test" / LISTS["gallery"][0]).unlink()
    write_images(["test/0009/0009_000_01_x_0_0.jpg"])
    found = open_benchmark(root)
    assert len(found.gallery) == 2
    assert f"1 images that the lists name are missing, such as test/{LISTS['gallery'][0]}." in found.notes
    assert "1 images are in no list and are left out, such as test/0009/0009_000_01_x_0_0.jpg." in found.notes
    (root / "list_query.txt").write_text("0000/0000.jpg\n")
    with pytest.raises(UserError, match=r"Line 1 of .*list_query.txt is '0000/0000.jpg'"):
        open_benchmark(root)
    make_msmt(write_images, "mask_train_v2", "mask_test_v2")
    with pytest.raises(UserError, match="both versions"):
        open_benchmark(root)
    (root / "list_val.txt").unlink()
    with pytest.raises(UserError, match=r"list_val.txt is missing"):
        open_benchmark(root, reader="msmt17,version=V1")


def test_msmt17_with_folders_of_another_archive(write_images: WriteImages) -> None:
    root = make_msmt(write_images)
    for folder in ("train", "test"):
        (root / folder).rename(root / f"old_{folder}")
        (root / folder).mkdir()
    with pytest.raises(UserError, match=r"None of the 9 images .* of one version"):
        open_benchmark(root)
    for folder in ("train", "test"):
        (root / folder).rmdir()
    with pytest.raises(UserError, match=r"either version .* Expected: V1: train, test; V2: mask_train_v2"):
        open_benchmark(root)


def make_cuhk01(write_images: WriteImages, persons: int = 8) -> Path:
    return write_images(f"campus/{p:04}{i:03}.png" for p in range(1, persons + 1) for i in range(1, 5))


def test_cuhk01_splits_and_draws(write_images: WriteImages) -> None:
    root = make_cuhk01(write_images)
    found = open_benchmark(root, reader="cuhk01,test_persons=3,draws=20")
    test = {crop.person for crop in found.query}
    assert len(test) == 3
    assert Counter(crop.person for crop in found.train) == dict.fromkeys(set(range(1, 9)) - test, 4)
    assert {(crop.camera, crop.path.name[6]) for crop in found.query} == {(1, "1"), (1, "2")}
    assert {(crop.camera, crop.path.name[6]) for crop in found.gallery} == {(2, "3"), (2, "4")}
    assert [len(draw.query) for draw in found.draws] == [3] * 20
    assert {crop for draw in found.draws for crop in draw.query} == set(found.query)  # each is drawn at times
    splits = {
        frozenset(
            crop.person for crop in open_benchmark(root, reader=f"cuhk01,test_persons=3,split={n}").query
        )
        for n in range(10)
    }
    assert len(splits) > 5
    assert "train: 20 of 3,872 crops" in compare(found)[0]
    with pytest.raises(UserError, match="486 persons are needed, but there are only 8"):
        open_benchmark(root)
    with pytest.raises(UserError, match=r"not laid out as cuhk01, but .*set is"):
        open_benchmark(root.parent, reader="cuhk01")
    write_images(["campus/extra.png"])
    with pytest.raises(UserError, match=r"1 of 33 have other names \(such as campus/extra.png\)"):
        open_benchmark(root)


def test_cuhk01_draws_do_not_depend_on_the_order_or_the_place(
    write_images: WriteImages, tmp_path: Path
) -> None:
    root = make_cuhk01(write_images)

    def drawn(folder: Path) -> list[list[str]]:
        found = open_benchmark(folder, reader="cuhk01,test_persons=3,draws=3")
        return [[found.relative(crop.path) for crop in draw.query] for draw in found.draws]

    before = drawn(root)
    assert drawn(root.rename(tmp_path / "elsewhere")) == before
    assert before[0] != before[1]


def test_viper(write_images: WriteImages) -> None:
    root = write_images(
        f"cam_{c}/{p:03}_{a}.bmp" for p in (0, 4, 7, 9, 872) for c, a in (("a", 45), ("b", 90))
    )
    found = open_benchmark(root, reader="viper,test_persons=2")
    test = {crop.person for crop in found.query}
    assert [crop.person for crop in found.query] == [crop.person for crop in found.gallery] == sorted(test)
    assert ({crop.camera for crop in found.query}, {crop.camera for crop in found.gallery}) == ({1}, {2})
    assert len(found.train) == 6
    assert {crop.person for crop in (*found.train, *found.query)} == {1, 5, 8, 10, 873}
    turned = open_benchmark(root, reader="viper,test_persons=2,swap=true")
    assert (turned.query, turned.gallery) == (found.gallery, found.query)
    with pytest.raises(UserError, match=r"not laid out as viper, but .*set is"):
        open_benchmark(root / "cam_a", reader="viper,split=1")
    write_images(["cam_a/odd.bmp"])
    with pytest.raises(UserError, match=r"1 of 6 images .* PPP_AA.bmp"):
        open_benchmark(root)
    (root / "cam_b").rename(root / "other")
    with pytest.raises(UserError, match=r"has the folders cam_a and cam_b; .* has no cam_b\."):
        open_benchmark(root, reader="viper")


def crop(person: int, camera: int, name: str) -> Crop:
    return Crop(Path("/data") / name, person, camera)


def test_single_shot_draws_by_hand() -> None:
    """Person 1 has two gallery crops, person 2 one pair, person 3 one camera; 0 is a distractor."""
    crops = (crop(1, 1, "a"), crop(1, 2, "b"), crop(1, 2, "c"), crop(2, 1, "d"), crop(2, 2, "e"))
    other, nobody = crop(3, 1, "f"), crop(0, 1, "g")
    queries = (crops[0], crops[3], other)
    benchmark = Benchmark("x", Path("/data"), query=queries, gallery=(*crops, other, nobody))
    found = single_shot(benchmark, 30, seed=1)
    assert all(draw.query == (crops[0], crops[3]) for draw in found.draws)
    assert {draw.gallery for draw in found.draws} == {
        (crops[1], crops[4], nobody),
        (crops[2], crops[4], nobody),
    }
    assert found.notes == ("1 test persons are not seen by two cameras and are never drawn.",)
    assert single_shot(benchmark, 30, seed=2).draws != found.draws


def test_drawn_persons_stay_the_same() -> None:
    """The draw is part of what a published figure means: these must never change."""
    assert draw_persons(range(1, 11), 3, "cuhk01", 0) == draw_persons(reversed(range(1, 11)), 3, "cuhk01", 0)
    assert sorted(draw_persons(range(1, 972), 486, "cuhk01", 0))[:5] == [2, 3, 7, 9, 10]


def test_listings_hold_wherever_the_set_lies(write_images: WriteImages, tmp_path: Path) -> None:
    root = make_cuhk01(write_images)
    found = open_benchmark(root, reader="cuhk01,test_persons=3,draws=2")
    path = tmp_path / "listing.json"
    save_listing(found, path)
    content = json.loads(path.read_text())
    assert all(name.startswith("campus/") for name in content["draws"][0]["query"])
    moved = root.rename(tmp_path / "cuhk01-moved")
    again = open_benchmark(moved, reader="cuhk01,test_persons=5,split=3", listing=path)
    assert [crop.path.relative_to(moved) for crop in again.train] == [
        c.path.relative_to(root) for c in found.train
    ]
    assert [len(draw.gallery) for draw in again.draws] == [3, 3]
    assert (again.protocol, again.published) == (found.protocol, None)
    assert reopen(again.opened).draws == again.draws
    content["query"].append("campus/9999001.png")
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"1 of 7 crops in the listing .* such as campus/9999001.png"):
        open_benchmark(moved, reader="cuhk01,test_persons=5", listing=path)
    path.write_text('{"name": "x", "train": 3}')
    with pytest.raises(UserError, match="is no listing: train: Input should be"):
        open_benchmark(moved, reader="cuhk01,test_persons=5", listing=path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        open_benchmark(moved, reader="cuhk01,test_persons=5", listing=tmp_path / "none")


def test_merging_keeps_persons_and_cameras_apart(write_images: WriteImages, tmp_path: Path) -> None:
    write_images(f"a/{p:04}_c{c}s1_000001_00.png" for p in (1, 5, 6, 7) for c in (1, 6))
    write_images(f"b/{p:04}_c{c}s1_000001_00.png" for p in (1, 2, 3, 4) for c in (1, 2))
    root = write_images([f"c/{p}/{i}.png" for p in ("ann", "bob") for i in (1, 2)])
    found = open_benchmark([root / "a", root / "b"])
    assert found.name == "a+b"
    # set a: the last two persons are its test; set b: all persons train
    assert [(crop.person, crop.camera) for crop in found.train] == [
        *((1, 1), (1, 6), (5, 1), (5, 6)),
        *((8, 8), (8, 9), (9, 8), (9, 9), (10, 8), (10, 9), (11, 8), (11, 9)),
    ]
    assert len(open_benchmark([root / "a", root / "b"], holdout=1).train) == 14
    assert {crop.person for crop in found.query} == {6, 7}
    assert (found.names[5], found.names[8]) == ("a/5", "b/1")
    assert "The test is that of a." in found.notes
    assert reopen(found.opened).train == found.train
    three = open_benchmark([root / "a", root / "c"], reader=["market-layout", "folder"])
    assert {crop.camera for crop in three.train} == {None}
    assert {crop.camera for crop in three.query} == {1, 6}
    with pytest.raises(UserError, match="is named twice"):
        open_benchmark([root / "a", root / "a"])
    with pytest.raises(UserError, match="2 readers are named for 3 data sets"):
        open_benchmark([root / "a"] * 3, reader=["folder", "folder"])
    with pytest.raises(UserError, match="listing is of one data set"):
        open_benchmark([root / "a", root / "b"], listing=tmp_path / "x")
