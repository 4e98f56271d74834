"""Batches: a function of seed and epoch, with the shape that each sampler promises."""

from collections import Counter

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.data.samplers import SAMPLERS
from resight.errors import UserError

persons_lists = st.lists(st.integers(0, 9), min_size=2, max_size=80).map(
    lambda p: np.array(p, dtype=np.int64)
)


def as_lists(batches: list[np.ndarray]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@given(st.integers(2, 100), st.integers(2, 20), st.integers(0, 3))
def test_random_shows_every_crop_once(crops: int, batch_size: int, epoch: int) -> None:
    sampler = SAMPLERS.build("random", np.zeros(crops, np.int64), 5, batch_size=batch_size)
    batches = sampler.batches(epoch)
    assert len(batches) == len(sampler)
    assert sorted(np.concatenate(batches)) == list(range(crops))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert (
        2 <= len(batches[-1]) <= batch_size + 1
    )  # never one crop: batch normalisation could not train on it
    assert all(batch.dtype == np.int64 for batch in batches)


@given(st.integers(2, 100), st.integers(2, 20))
def test_random_may_drop_the_last(crops: int, batch_size: int) -> None:
    persons = np.zeros(crops, np.int64)
    if crops < batch_size:
        with pytest.raises(UserError, match=f"needs {batch_size} crops, but there are {crops}"):
            SAMPLERS.build("random", persons, 5, batch_size=batch_size, drop_last=True)
        return
    sampler = SAMPLERS.build("random", persons, 5, batch_size=batch_size, drop_last=True)
    batches = sampler.batches(0)
    assert len(batches) == len(sampler) == crops // batch_size
    assert all(len(batch) == batch_size for batch in batches)
    assert len(set(np.concatenate(batches).tolist())) == len(batches) * batch_size


@given(persons_lists, st.integers(2, 6), st.integers(1, 5), st.sampled_from(["persons", "crops"]))
def test_pk_batches_hold_p_persons_with_k_crops(persons: np.ndarray, p: int, k: int, epoch: str) -> None:
    different = len(set(persons.tolist()))
    if p > different:
        with pytest.raises(
            UserError, match=f"{p} persons is larger than the training set allows: it has {different}"
        ):
            SAMPLERS.build("pk", persons, 5, persons=p, crops=k, epoch=epoch)
        return
    sampler = SAMPLERS.build("pk", persons, 5, persons=p, crops=k, epoch=epoch)
    batches = sampler.batches(2)
    steps = different // p if epoch == "persons" else max(1, len(persons) // (p * k))
    assert len(batches) == len(sampler) == steps
    available = Counter(persons.tolist())
    for batch in batches:
        groups = persons[batch].reshape(p, k)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0].tolist())) == p
        for person, indices in zip(groups[:, 0].tolist(), batch.reshape(p, k), strict=True):
            repeats = Counter(indices.tolist()).values()
            assert len(repeats) == min(k, available[person])
            assert max(repeats) - min(repeats) <= 1
    if epoch == "persons":
        shown = [person for batch in batches for person in persons[batch][::k].tolist()]
        assert len(set(shown)) == len(shown)


def test_pk_epoch_of_the_papers() -> None:
    sampler = SAMPLERS.build("pk", np.repeat(np.arange(751), 17), 0, persons=32, crops=4)
    assert len(sampler) == 23
    assert (
        len(SAMPLERS.build("pk", np.repeat(np.arange(751), 17), 0, persons=32, crops=4, epoch="crops")) == 99
    )


def test_pk_reaches_all_persons_and_crops_over_epochs() -> None:
    sampler = SAMPLERS.build("pk", np.repeat(np.arange(7), 5), 0, persons=3, crops=2)
    seen = {index for epoch in range(40) for batch in sampler.batches(epoch) for index in batch.tolist()}
    assert seen == set(range(35))


@pytest.mark.parametrize(
    ("name", "settings"), [("random", {"batch_size": 8}), ("pk", {"persons": 4, "crops": 2})]
)
def test_batches_depend_on_seed_and_epoch_alone(name: str, settings: dict[str, int]) -> None:
    persons = np.repeat(np.arange(10), 6)
    sampler, again = (SAMPLERS.build(name, persons, 1, **settings) for _ in range(2))
    other = SAMPLERS.build(name, persons, 2, **settings)
    third = as_lists(sampler.batches(3))
    sampler.batches(0)
    assert as_lists(sampler.batches(3)) == third == as_lists(again.batches(3))
    assert as_lists(sampler.batches(4)) != third
    assert as_lists(other.batches(3)) != third


def test_a_single_crop_cannot_train() -> None:
    with pytest.raises(UserError, match="needs 2 crops, but there are 1"):
        SAMPLERS.build("random", np.zeros(1, np.int64), 0)


def test_settings_are_checked() -> None:
    with pytest.raises(pydantic.ValidationError):
        SAMPLERS.build("random", np.zeros(9, np.int64), 0, batch_size=1)
    with pytest.raises(pydantic.ValidationError):
        SAMPLERS.build("pk", np.arange(9), 0, epoch="images")


def test_pk_takes_a_number_of_batches_and_leaves_out_crops_of_nobody() -> None:
    persons = np.array([-1, 3, 3, -1, 0, 0, 2, 3, -1], np.int64)
    sampler = SAMPLERS.build("pk", persons, 5, persons=2, crops=2, epoch=7)
    batches = sampler.batches(1)
    assert len(batches) == len(sampler) == 7
    assert all((persons[batch].reshape(2, 2) >= 0).all() for batch in batches)
    assert {*np.concatenate(batches).tolist()} == {1, 2, 4, 5, 6, 7}
    with pytest.raises(pydantic.ValidationError, match="greater than or equal to 1"):
        SAMPLERS.build("pk", persons, 5, persons=2, crops=2, epoch=0)


def test_pk_balances_a_persons_crops_over_its_cameras() -> None:
    persons = np.repeat(np.arange(4), 12)
    cameras = np.tile([0] * 9 + [1, 1, 2], 4)  # nine in ten from one camera
    sampler = SAMPLERS.build("pk", persons, 5, cameras, persons=2, crops=6, balance_cameras=True)
    batches = [batch for epoch in range(20) for batch in sampler.batches(epoch)]
    for batch in batches:
        for chosen in batch.reshape(2, 6):
            assert len(set(chosen.tolist())) == 6
            assert len(set(persons[chosen].tolist())) == 1
            assert Counter(cameras[chosen].tolist()) == {0: 3, 1: 2, 2: 1}
            assert set(cameras[chosen[:3]].tolist()) == {0, 1, 2}
    assert {*np.concatenate(batches).tolist()} == set(range(48))
    plain = SAMPLERS.build("pk", persons, 5, cameras, persons=2, crops=6)
    assert any((cameras[batch] == 0).all() for epoch in range(20) for batch in plain.batches(epoch))


@pytest.mark.parametrize(("cameras", "words"), [(None, "8 of 8"), ([0, 1, -1, 0, -1, 0, 1, 1], "2 of 8")])
def test_pk_balances_known_cameras_only(cameras: list[int] | None, words: str) -> None:
    known = None if cameras is None else np.array(cameras)
    with pytest.raises(UserError, match=f"camera of every crop, and it is not known for {words}"):
        SAMPLERS.build("pk", np.repeat([0, 1], 4), 5, known, persons=2, crops=2, balance_cameras=True)
