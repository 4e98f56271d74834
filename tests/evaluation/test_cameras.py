"""Cameras' means: against the formula written out, and what they must not harm."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.cameras import CameraStatistics, remove_camera_means, restore, unit_or_zero
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import evaluate


def drawn(seed: int, rows: int = 40, width: int = 6) -> tuple[np.ndarray, list[str]]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)).astype(np.float32), random.choice(["a", "b", "c"], rows).tolist()


def written_out(vectors: np.ndarray, cameras: list[str], row: int, shrinkage: float) -> np.ndarray:
    """Unit vector, minus its camera's mean with ``shrinkage`` crops at the mean of all, of unit length."""
    units = [vector / np.sqrt((vector**2).sum()) for vector in vectors.astype(float)]
    overall = sum(units) / len(units)
    own = [unit for unit, camera in zip(units, cameras, strict=True) if camera == cameras[row]]
    mean = (sum(own) + shrinkage * overall) / (len(own) + shrinkage)
    rest = units[row] - mean
    return np.asarray(rest / np.sqrt((rest**2).sum()))


@given(st.integers(0, 1000), st.sampled_from([0.0, 3.0, 20.0]))
def test_means_are_those_of_the_formula(seed: int, shrinkage: float) -> None:
    vectors, cameras = drawn(seed)
    found = CameraStatistics.fit(vectors, cameras, shrinkage).apply(vectors, cameras)
    for row in range(0, len(vectors), 7):
        np.testing.assert_allclose(found[row], written_out(vectors, cameras, row, shrinkage), atol=1e-5)


@given(st.integers(0, 1000))
def test_crops_that_come_and_go_leave_no_trace(seed: int) -> None:
    vectors, cameras = drawn(seed)
    whole = CameraStatistics.fit(vectors[:25], cameras[:25])
    changed = CameraStatistics.fit(vectors, cameras)
    changed.remove(vectors[25:], cameras[25:])
    assert changed.counts == whole.counts
    for camera in ("a", "b", "c", None):
        np.testing.assert_allclose(changed.mean(camera), whole.mean(camera), atol=1e-9)


def test_an_unknown_camera_loses_the_mean_of_all() -> None:
    vectors, cameras = drawn(0)
    statistics = CameraStatistics.fit(vectors, cameras)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = units[:3] - units.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for camera in (None, "never seen"):
        np.testing.assert_allclose(statistics.apply(vectors[:3], [camera] * 3), expected, atol=1e-5)


def test_a_camera_of_one_crop_hardly_moves_it() -> None:
    """A crop's own mean is itself: without shrinkage nothing of it would be left."""
    vectors, cameras = drawn(1)
    cameras[0] = "alone"
    plain = vectors[0] / np.linalg.norm(vectors[0])
    shrunk = CameraStatistics.fit(vectors, cameras).apply(vectors[:1], ["alone"])[0]
    assert float(plain @ shrunk) > 0.9
    assert not CameraStatistics.fit(vectors, cameras, 0.0).apply(vectors[:1], ["alone"]).any()


def people(shift: float) -> tuple[Embedded, Embedded]:
    """Draw 30 persons seen by two cameras, each of which adds a vector of its own."""
    random = np.random.default_rng(3)
    persons = random.normal(size=(30, 16))
    cameras = shift * random.normal(size=(2, 16))
    person, camera = (part.ravel() for part in np.meshgrid(np.arange(30), np.arange(2)))

    def seen(times: int) -> Embedded:
        rows = np.repeat(np.arange(len(person)), times)
        features = persons[person[rows]] + cameras[camera[rows]] + 0.3 * random.normal(size=(len(rows), 16))
        return Embedded(
            torch.from_numpy(features.astype(np.float32)),
            torch.from_numpy(person[rows] + 1),
            torch.from_numpy(camera[rows]),
        )

    return seen(1), seen(3)


def test_people_are_found_again_across_cameras_that_differ() -> None:
    query, gallery = people(2.0)
    before = evaluate(query, gallery, Protocol()).mAP
    after = evaluate(*remove_camera_means(query, gallery), Protocol()).mAP
    assert after > before + 0.1


def test_cameras_that_do_not_differ_lose_nothing() -> None:
    query, gallery = people(0.0)
    before = evaluate(query, gallery, Protocol()).mAP
    assert evaluate(*remove_camera_means(query, gallery), Protocol()).mAP > before - 0.005


def test_junk_is_in_no_mean() -> None:
    query, gallery = people(1.0)
    junk = Embedded(torch.full((9, 16), 5.0), torch.full((9,), -1), torch.zeros(9, dtype=torch.int64))
    more = Embedded(
        torch.cat([gallery.features, junk.features]),
        torch.cat([gallery.persons, junk.persons]),
        torch.cat([gallery.cameras, junk.cameras]),  # type: ignore[list-item]
    )
    torch.testing.assert_close(
        remove_camera_means(query, more)[0].features, remove_camera_means(query, gallery)[0].features
    )


def test_without_two_cameras_it_is_refused() -> None:
    query, gallery = people(1.0)
    bare = Embedded(gallery.features, gallery.persons)
    with pytest.raises(UserError, match="crops' cameras are not known"):
        remove_camera_means(query, bare)
    one = Embedded(gallery.features, gallery.persons, torch.zeros(len(gallery), dtype=torch.int64))
    with pytest.raises(UserError, match="All gallery crops are from one camera"):
        remove_camera_means(query, one)


def test_widths_and_numbers_that_do_not_fit_are_refused() -> None:
    vectors, cameras = drawn(0)
    statistics = CameraStatistics.fit(vectors, cameras)
    for wrong in ((vectors[:, :3], cameras), (vectors, cameras[1:])):
        with pytest.raises(UserError, match=r"take vectors \[N, 6\] and N cameras; got the shape"):
            statistics.update(*wrong)


@pytest.mark.parametrize("length", [0.0, 0.01, 0.7, 0.999])
def test_a_vector_is_restored_from_what_is_left_of_it_and_the_mean(length: float) -> None:
    generator = np.random.default_rng(0)
    mean = generator.standard_normal(64).astype(np.float32)
    mean *= length / np.linalg.norm(mean)
    vectors = unit_or_zero(mean + 0.05 * generator.standard_normal((50, 64)).astype(np.float32))
    np.testing.assert_allclose(restore(unit_or_zero(vectors - mean), mean), vectors, atol=3e-7)


def test_a_vector_that_equals_its_mean_is_restored() -> None:
    mean = unit_or_zero(np.arange(1, 9, dtype=np.float32)[None])[0]
    np.testing.assert_allclose(restore(np.zeros((1, 8), np.float32), mean), mean[None], atol=1e-7)
