"""Market-1501's layout: pooled queries, distractors, published counts, the wrong level of an archive."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from resight.data.benchmark import DataSource, Published, PublishedCounts
from resight.data.check import check_benchmark
from resight.data.crop import DISTRACTOR, JUNK
from resight.data.opening import open_benchmark, reopen
from resight.data.published import compare
from resight.errors import UserError

WriteImages = Callable[[Iterable[str]], Path]


def name(label: str, camera: int, frame: int = 1) -> str:
    return f"{label}_c{camera}s1_{frame:06}_00.png"


def make(write_images: WriteImages, *more: str) -> Path:
    return write_images(
        [
            *(f"bounding_box_train/{name(f'{person:04}', camera)}" for person in (2, 7) for camera in (1, 2)),
            f"query/{name('0001', 1)}",
            f"query/{name('0001', 2)}",
            f"query/{name('0003', 1)}",
            f"bounding_box_test/{name('0001', 3)}",
            f"bounding_box_test/{name('0003', 4)}",
            f"bounding_box_test/{name('-1', 4)}",
            f"bounding_box_test/{name('0000', 4)}",
            *more,
        ]
    )


GT = (
    f"gt_bbox/{name('0001', 1, 5)}",
    f"gt_bbox/{name('0001', 1, 6)}",
    f"gt_bbox/{name('0001', 3, 7)}",  # no query of this camera
    f"gt_bbox/{name('0003', 1, 8)}",
    f"gt_bbox/{name('0002', 1, 9)}",  # no query of this person
    f"gt_bbox/{name('-1', 1, 9)}",
)


def test_pooled_queries_take_their_persons_crops_under_their_cameras(write_images: WriteImages) -> None:
    root = make(write_images, *GT)
    assert open_benchmark(root).query_pool == ()
    found = open_benchmark(root, reader="market-layout,queries=max")
    assert Counter((crop.person, crop.camera) for crop in found.query_pool) == {(1, 1): 2, (3, 1): 1}
    assert (len(found.query), found.protocol.pooling, found.protocol.cross_camera) == (3, "max", True)


def test_pooled_queries_need_their_images(write_images: WriteImages) -> None:
    root = make(write_images)
    with pytest.raises(UserError, match=r"need the folder .*gt_bbox.*there is none.*queries=single"):
        open_benchmark(root, reader="market-layout,queries=average")
    write_images([GT[4]])
    with pytest.raises(UserError, match="none of its 1 images is one"):
        open_benchmark(root, reader="market-layout,queries=average")


def test_distractors_join_the_gallery_whatever_their_names(write_images: WriteImages) -> None:
    root = make(write_images, f"distractors_500k/{name('0017', 5)}", "distractors_500k/a/xyz.png")
    plain = open_benchmark(root)
    assert len(plain.gallery) == 4
    more = open_benchmark(root, reader="market-layout,distractors=true").gallery[4:]
    assert [(crop.person, crop.camera) for crop in more] == [(DISTRACTOR, 5), (DISTRACTOR, 0)]


def test_distractors_must_be_there(write_images: WriteImages) -> None:
    with pytest.raises(UserError, match=r"no distractors to add.*distractors_500k"):
        open_benchmark(make(write_images), reader="market-layout,distractors=true")


def test_only_a_folder_of_that_name_is_held_against_the_published_counts(
    write_images: WriteImages, tmp_path: Path
) -> None:
    root = make(write_images)
    assert open_benchmark(root).published is None
    assert open_benchmark(root, reader="market-1501").published is not None
    moved = root.rename(tmp_path / "Market-1501-v15.09.15")
    found = open_benchmark(moved)
    assert found.published is not None
    assert found.published.source.name == "Market-1501"
    (sentence,) = compare(found)
    for expected in (
        "Not as Market-1501 was published",
        "train: 4 of 12,936 crops, 12,932 missing",
        "gallery: 1 of 3,819 junk crops, 3,818 missing",
        "gallery: 1 of 2,798 distractors",
        "query: 2 of 750 persons",
    ):
        assert expected in sentence
    assert sentence in check_benchmark(found).warnings
    described = check_benchmark(found).as_dict()["published"]
    assert described["as_published"] is False
    assert described["counts"]["train"]["found"]["crops"] == 4
    assert open_benchmark(moved, holdout=1).published is None


def test_counts_as_published_need_no_words_and_mixups_are_named(write_images: WriteImages) -> None:
    from dataclasses import replace

    source = DataSource("Tiny", "https://example.org", "Free.")
    here = {"train": PublishedCounts(4, 2), "gallery": PublishedCounts(4, 2, junk=1, distractors=1)}
    found = replace(open_benchmark(make(write_images)), published=Published(source, here))
    assert compare(found) == []
    others = {
        "It is the other one.": {"train": PublishedCounts(4)},
        "It is neither.": {"train": PublishedCounts(5)},
    }
    wrong = replace(found, published=Published(source, {"train": PublishedCounts(5, 1)}, others))
    first, second = compare(wrong)
    assert "train: 4 of 5 crops, 1 missing; train: 2 of 1 persons, 1 too many" in first
    assert second == "It is the other one."
    assert compare(replace(found, gallery=(), published=Published(source, here)))[0].endswith(
        "there is no gallery part."
    )


def test_the_wrong_level_of_an_archive_is_told(write_images: WriteImages, tmp_path: Path) -> None:
    root = make(write_images)
    (tmp_path / "all").mkdir()
    inner = root.rename(tmp_path / "all" / "Market-1501-v15.09.15")
    with pytest.raises(UserError, match=rf"{inner} is: this is the wrong level"):
        open_benchmark(inner.parent)
    with pytest.raises(UserError, match=rf"not laid out as market-1501, but {inner} is"):
        open_benchmark(inner / "bounding_box_test", reader="market-1501")
    (note,) = (n for n in open_benchmark(inner / "bounding_box_train").notes if "laid out as" in n)
    assert note.startswith(
        f"{inner.resolve()} is laid out as market-1501, and {inner}/bounding_box_train lies"
    )


def test_a_known_set_without_its_test_is_told(write_images: WriteImages) -> None:
    root = make(write_images)
    for folder in ("query", "bounding_box_test"):
        (root / folder).rename(root / f"no_{folder}")
    assert open_benchmark(root).notes[0].startswith("No test part")
    found = open_benchmark(root, reader="market-1501")
    assert found.notes[0] == "Market-1501 has a test part, which is missing here."


def test_duke_names_and_its_note(write_images: WriteImages) -> None:
    root = write_images(
        [f"bounding_box_train/{p:04}_c{c}_f{1000 * c:07}.png" for p in (1, 2) for c in (1, 8)]
        + ["query/0005_c2_f0046985.png", "bounding_box_test/0005_c1_f0046985.png"]
        + ["bounding_box_test/0006_c1_f0046985.png"]
    )
    found = open_benchmark(root)
    assert [(crop.person, crop.camera) for crop in found.train] == [(1, 1), (1, 8), (2, 1), (2, 8)]
    assert [(crop.person, crop.camera) for crop in found.query] == [(5, 2)]
    assert any("withdrawn by its authors" in note for note in found.notes)
    assert "gallery: 2 of 17,661 crops" in compare(found)[0]
    write_images([f"query/{name('0005', 3)}"])
    with pytest.raises(UserError, match=r"1 of 8 images .* not named PPPP_cC_fFFFFFFF.jpg"):
        open_benchmark(root)


@pytest.mark.parametrize(
    ("reader", "sentence"),
    [
        ("market1501", r"Unknown reader 'market1501'\. Did you mean 'market-1501'\?"),
        ("market-1501,query=max", r"no option 'query'\. Did you mean 'queries'\?"),
        ("market-1501,queries", "NAME=VALUE .*got 'queries'"),
        ("market-1501,queries=median", "queries: Input should be .*'max', got 'median'"),
        ("dukemtmc-reid,x=1", "no option 'x'. It has none"),
    ],
)
def test_readers_and_options_that_are_not_there(
    write_images: WriteImages, reader: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        open_benchmark(make(write_images), reader=reader)


def test_a_benchmark_is_opened_again_as_it_was(
    write_images: WriteImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(write_images, *GT)
    monkeypatch.chdir(root.parent)
    found = open_benchmark("set", reader="market-layout,queries=max", holdout=1, cross_camera=False)
    monkeypatch.chdir("/")
    again = reopen(found.opened)
    assert [crop.path for crop in again.train] == [
        root / crop.path.relative_to("set") for crop in found.train
    ]
    assert (again.protocol, again.query_pool, again.draws) == (found.protocol, (), ())
    with pytest.raises(UserError, match="not both"):
        open_benchmark(root, reader="market-layout", pattern="(?P<person>x)")
    assert any(crop.person == JUNK for crop in open_benchmark(root).gallery)
