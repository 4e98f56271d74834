"""A gallery as people use it: adding, searching, labelling, forgetting, calibrating, changing the model."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from gallery_fakes import START, Fake, camera_statistics, embedded, ids, noise, people
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import UserError
from resight.evaluation.reranking import Reranking, rerank
from resight.gallery import catalogue, gallery
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.searching import K1, K2, ORIGINAL, reranked_distances
from resight.inference.embedder import unit


def names(found: gallery.SearchResult) -> list[str]:
    return [match.crop.name for match in found.matches]


def test_what_is_added_lasts(place: Path) -> None:
    crop = replace(people(1)[1], tags=("red", "red", "bag"), box=(1, 2, 3, 4))
    with Gallery.open(place, Fake(), create=True) as opened:
        (identity,) = opened.add([crop]).ids
    with Gallery.open(place) as opened:
        (stored,) = opened.get([str(identity)])
    assert (stored.camera, stored.time, stored.source, stored.name) == ("cam0", crop.time, "video.mp4", "1")
    assert (stored.person, stored.tags, stored.box, stored.size) == (
        "p0",
        ("red", "bag"),
        (1, 2, 3, 4),
        (16, 8),
    )
    assert abs(stored.added - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_same_picture_is_added_once(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        first = opened.add(people(2))
        again = opened.add([*people(2), NewCrop(noise(999)), NewCrop(noise(999), camera="elsewhere")])
        assert (first.new, first.known) == (12, 0)
        assert (again.new, again.known) == (1, 13)
        assert again.ids[:12] == first.ids
        assert len(opened) == 13


def test_pictures_that_cannot_be_read_are_left_out_and_named(place: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    crops = [NewCrop(noise(1)), NewCrop(broken, name="b"), NewCrop(tmp_path / "none.jpg"), NewCrop(b"")]
    with Gallery.open(place, Fake(), create=True) as opened:
        added = opened.add(crops)
    assert added.new == 1
    assert [identity is None for identity in added.ids] == [False, True, True, True]
    assert [name for name, _ in added.refused] == ["b", str(tmp_path / "none.jpg"), "a picture"]
    assert "no whole image" in added.refused[0][1]


def test_each_batch_is_told_of_when_it_is_stored(place: Path) -> None:
    told: list[int] = []
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add((NewCrop(noise(at)) for at in range(150)), lambda batch: told.append(len(opened)))
    assert len(told) == 3
    assert all(count >= expected for count, expected in zip(told, (64, 128, 150), strict=True))


def test_a_person_is_found_again(filled: Gallery) -> None:
    found = filled.search([noise(5000, 3)], top=6)
    assert {match.crop.person for match in found.matches} == {"p3"}
    scores = [match.score for match in found.matches]
    assert scores == sorted(scores, reverse=True)
    assert found.searched == 48
    assert not found.exact
    exact = filled.search([noise(5000, 3)], top=6, exact=True)
    assert exact.exact
    assert exact.matches == found.matches


def test_a_stored_crop_finds_others_but_not_itself(filled: Gallery) -> None:
    known = ids(filled)
    found = filled.search(crops=[known["18"]], top=48)
    assert len(found.matches) == 47
    assert "18" not in names(found)
    assert {match.crop.person for match in found.matches[:5]} == {"p3"}


def test_pages_make_up_one_list(filled: Gallery) -> None:
    for options in ({}, {"rerank": True}, {"combine": "max"}):
        given = [noise(5000, 3), noise(5001, 4)]
        whole = names(filled.search(given, top=48, **options))  # type: ignore[arg-type]
        pages = [names(filled.search(given, top=7, offset=at, **options)) for at in range(0, 48, 7)]  # type: ignore[arg-type]
        assert [name for page in pages for name in page] == whole
        assert len(set(whole)) == 48


def test_several_pictures_search_by_average_or_by_the_nearest(filled: Gallery) -> None:
    given = [noise(5000, 3), noise(5001, 4)]
    statistics = camera_statistics(people())
    vectors = statistics.apply(filled.embed(given), [None, None])
    crops = statistics.apply(embedded(people()), [crop.camera for crop in people()])
    average = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
    expected = [str(at) for at in np.argsort(-(crops @ average), kind="stable")]
    assert names(filled.search(given, top=48)) == expected
    nearest = filled.search(given, top=12, combine="max")
    scores = crops @ vectors.T
    assert names(nearest) == [str(at) for at in np.argsort(-scores.max(1), kind="stable")[:12]]
    assert [match.query for match in nearest.matches] == [
        int(scores[int(name)].argmax()) for name in names(nearest)
    ]


def test_vectors_search_as_their_pictures_do(filled: Gallery) -> None:
    picture = noise(5000, 3)
    assert names(filled.search(vectors=3 * filled.embed([picture]))) == names(filled.search([picture]))
    with pytest.raises(UserError, match="48 numbers"):
        filled.search(vectors=np.ones((1, 7), np.float32))


def test_the_own_cameras_are_left_out(filled: Gallery) -> None:
    known = ids(filled)
    found = filled.search(crops=[known["18"], known["20"]], other_cameras=True)
    assert {match.crop.camera for match in found.matches} == {"cam2"}
    found = filled.search([noise(5000, 3)], other_cameras=True, cameras=["cam0"])
    assert {match.crop.camera for match in found.matches} == {"cam1", "cam2"}
    with pytest.raises(UserError, match="Name the camera"):
        filled.search([noise(5000, 3)], other_cameras=True)


def test_an_unknown_camera_is_named(filled: Gallery) -> None:
    with pytest.raises(UserError, match=r"camera 'cam11'. Did you mean 'cam1'"):
        filled.search([noise(1)], where=Filter(cameras=("cam11",)))
    with pytest.raises(UserError, match="camera 'hall'"):
        filled.search([noise(1)], where=Filter(not_cameras=("hall",)))


def test_times_filter(filled: Gallery) -> None:
    begin = START + timedelta(seconds=10)
    found = filled.search([noise(1)], top=48, where=Filter(after=begin, before=begin + timedelta(seconds=5)))
    assert {int(name) for name in names(found)} == set(range(10, 15))
    with pytest.raises(UserError, match="Swap"):
        Filter(after=START, before=START)
    with pytest.raises(UserError, match="no time zone"):
        Filter(after=START.replace(tzinfo=None))


def test_bad_crops_are_refused() -> None:
    with pytest.raises(UserError, match="no time zone"):
        NewCrop(b"", time=datetime(2024, 5, 31))
    with pytest.raises(UserError, match="before 1970"):
        NewCrop(b"", time=datetime(1904, 1, 1, tzinfo=UTC))
    with pytest.raises(UserError, match="left, top, width and height"):
        NewCrop(b"", box=(1, 2, 0, 4))


def test_reranking_orders_matches_as_the_evaluation_does(filled: Gallery) -> None:
    picture = noise(5000, 3, strength=90)
    plain = filled.search([picture], top=48)
    again = filled.search([picture], top=48, rerank=True)
    head = [match.crop.id for match in plain.matches]
    added, statistics = {crop.name: crop for crop in people()}, camera_statistics(people())
    first = [added[crop.name] for crop in filled.get(head)]
    crops = torch.from_numpy(statistics.apply(embedded(first), [crop.camera for crop in first]))
    query = torch.from_numpy(statistics.apply(filled.embed([picture]), [None]))
    expected = rerank(
        torch.cdist(query, crops),
        torch.cdist(query, query),
        torch.cdist(crops, crops),
        Reranking(k1=K1, k2=K2, original=ORIGINAL),
    )[0]
    order = torch.argsort(expected, stable=True).tolist()
    assert [match.crop.id for match in again.matches] == [head[place] for place in order]
    assert again.matches[0].reranked == pytest.approx(float(expected.min()), abs=1e-4)


def test_matches_after_the_window_stay_as_they_were(filled: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.gallery.searching.WINDOW", 30)
    picture = noise(5000, 3, strength=90)
    plain = filled.search([picture], top=48)
    again = filled.search([picture], top=48, rerank=True)
    assert set(names(again)[:30]) == set(names(plain)[:30])
    assert names(again)[30:] == names(plain)[30:]
    assert again.matches[29].reranked is not None
    assert again.matches[30].reranked is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 3), st.sampled_from([2, 5, 13, 40]))
def test_distances_of_a_window_are_those_of_the_evaluation(seed: int, queries: int, crops: int) -> None:
    random = np.random.default_rng(seed)
    count = queries + crops
    drawn = random.normal(size=(count, 8)) + random.normal(size=(9, 8))[random.integers(0, 9, count)]
    items = unit(drawn.astype(np.float32))
    whole = torch.from_numpy(items).double()
    distances = torch.cdist(whole, whole, compute_mode="donot_use_mm_for_euclid_dist")
    expected = rerank(
        distances[:queries, queries:],
        distances[:queries, :queries],
        distances[queries:, queries:],
        Reranking(k1=min(K1, crops), k2=K2, original=ORIGINAL),
    )
    found = reranked_distances(items[:queries], items[queries:])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_a_handful_of_crops_can_be_reranked(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        opened.add(people(1, 1, 4))
        assert len(opened.search([noise(1, 0)], rerank=True).matches) == 4


def test_a_search_needs_something_to_search_for(filled: Gallery) -> None:
    with pytest.raises(UserError, match="Give a picture"):
        filled.search()
    with pytest.raises(UserError, match="No crop"):
        filled.search(crops=["00000000-0000-0000-0000-000000000000"])
    with pytest.raises(UserError, match="top = 0"):
        filled.search([noise(1)], top=0)


def test_without_a_model_stored_crops_can_be_searched_for(place: Path, filled: Gallery) -> None:
    known = ids(filled)
    filled.close()
    with Gallery.open(place) as opened:
        assert opened.search(crops=[known["0"]]).matches
        for act in (lambda: opened.search([noise(1)]), lambda: opened.add([NewCrop(noise(1))])):
            with pytest.raises(
                UserError, match=r"fake \(48 numbers a crop\) with the fingerprint fakefakefake"
            ):
                act()
        opened.use(Fake())
        assert opened.search([noise(1)]).matches
        with pytest.raises(UserError, match="another model"):
            opened.use(Fake("other"))


def test_labels_and_tags_are_given_and_taken_back(filled: Gallery) -> None:
    known = ids(filled)
    some = [known["1"], known["2"]]
    filled.label(some, "somebody")
    filled.tag(some, ["seen", "seen"])
    assert [crop.person for crop in filled.get(some)] == ["somebody"] * 2
    assert set(ids(filled, Filter(tags=("seen",)))) == {"1", "2"}
    filled.label(some, None)
    assert filled.count(Filter(labelled=True)) == 46
    with pytest.raises(UserError, match="No crop"):
        filled.label(["00000000-0000-0000-0000-000000000000"], "x")


def test_counts_and_times(filled: Gallery) -> None:
    assert filled.values("camera") == {"cam0": 16, "cam1": 16, "cam2": 16}
    assert filled.values("source") == {"video.mp4": 48}
    assert filled.times() == (START, START + timedelta(seconds=47))
    assert filled.times(Filter(persons=("p1",))) == (
        START + timedelta(seconds=6),
        START + timedelta(seconds=11),
    )
    assert filled.times(Filter(persons=("nobody",))) is None


def test_pictures_come_back(filled: Gallery) -> None:
    from resight.imaging import decode

    pixels = decode(filled.picture(ids(filled)["7"]))
    assert np.abs(pixels.astype(int) - people()[7].picture.astype(int)).mean() < 12  # type: ignore[union-attr]


def test_forgetting_by_each_means(filled: Gallery) -> None:
    known = ids(filled)
    assert filled.forget(Filter(ids=(known["0"],))) == 1
    assert filled.forget(Filter(persons=("p1",))) == 6
    assert filled.forget(Filter(before=START + timedelta(seconds=20))) == 13
    assert filled.forget(Filter(persons=("p1",))) == 0
    assert filled.forget(Filter(sources=("video.mp4",))) == 28
    assert len(filled) == 0
    assert filled.search([noise(1)]).matches == ()
    with pytest.raises(UserError, match="Say which"):
        filled.forget(Filter())


def test_crops_are_forgotten_when_they_are_too_old(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    crops = [
        NewCrop(noise(1), name="old", time=now - timedelta(days=31)),
        NewCrop(noise(2), name="young", time=now - timedelta(days=1)),
        NewCrop(noise(3), name="no time"),
        NewCrop(noise(4), name="clock is ahead", time=now + timedelta(days=900)),
    ]
    with Gallery.open(place, Fake(), create=True, forget_after_days=30) as opened:
        opened.add(crops)
        assert opened.forget_expired() == 1
        assert set(ids(opened)) == {"young", "no time", "clock is ahead"}
    monkeypatch.setattr(catalogue, "now", lambda: now + timedelta(days=29, hours=1))
    with Gallery.open(place) as opened:
        assert set(ids(opened)) == {"no time", "clock is ahead"}
        opened.keep_for(None)
    monkeypatch.setattr(catalogue, "now", lambda: now + timedelta(days=31))
    with Gallery.open(place) as opened:
        assert len(opened) == 2
        opened.keep_for(5)
        assert opened.forget_expired() == 2
        with pytest.raises(UserError, match="longer than 0 days"):
            opened.keep_for(0)


def test_a_large_gallery_is_searched_by_its_graph(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True, graph_from=100) as opened:
        opened.add(people(40))
        opened.compact()
        assert opened.facts()["indexed"] >= 100
        found = opened.search([noise(5000, 3)], top=6)
        assert not found.exact
        assert {match.crop.person for match in found.matches} == {"p3"}
        compared = opened.search([noise(5000, 3)], top=6, exact=True)
        assert [match.crop for match in compared.matches] == [match.crop for match in found.matches]


def test_a_graph_is_for_galleries_that_take_long_to_compare(place: Path) -> None:
    with Gallery.open(place, Fake(), create=True) as opened:
        assert opened.graph_from == 600_000_000 // 48
