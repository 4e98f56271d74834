"""Cameras' means: against the formula written out, and what they must not harm."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.data.benchmark import Protocol
from resight.errors import UserError
from resight.evaluation.cameras import SHARE, CameraStatistics, remove_camera_means, restore, unit_or_zero
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import evaluate


def drawn(seed: int, rows: int = 40, width: int = 6) -> tuple[np.ndarray, list[str]]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)).astype(np.float32), random.choice(["a", "b", "c"], rows).tolist()


def written_out(
    vectors: np.ndarray, cameras: list[str], row: int, shrinkage: float, share: float
) -> np.ndarray:
    """Unit vector, minus its camera's mean with ``shrinkage`` crops at the overall mean, of unit length.

    Of the shift from the overall mean to the camera's, ``share`` is subtracted. A camera whose crops vary
    less than those of the median camera counts for fewer crops.
    """
    units = [vector / np.sqrt((vector**2).sum()) for vector in vectors.astype(float)]
    of = {
        name: np.stack([u for u, c in zip(units, cameras, strict=True) if c == name]) for name in set(cameras)
    }
    variance = {name: own.var(axis=0, ddof=1).sum() for name, own in of.items() if len(own) > 1}
    usual = np.median(list(variance.values()))
    counts = {name: len(own) * min(1, variance.get(name, usual) / usual) ** 2 for name, own in of.items()}
    overall = sum(counts[name] * own.mean(axis=0) for name, own in of.items()) / sum(counts.values())
    camera = cameras[row]
    mean = (counts[camera] * of[camera].mean(axis=0) + shrinkage * overall) / (counts[camera] + shrinkage)
    rest = units[row] - (share * mean + (1 - share) * overall)
    return np.asarray(rest / np.sqrt((rest**2).sum()))


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 3.0, 20.0]), st.sampled_from([0.75, 1.0]))
def test_means_are_those_of_the_formula(seed: int, shrinkage: float, share: float) -> None:
    vectors, cameras = drawn(seed)
    found = CameraStatistics.fit(vectors, cameras, shrinkage, share).apply(vectors, cameras)
    for row in range(0, len(vectors), 7):
        expected = written_out(vectors, cameras, row, shrinkage, share)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


@settings(deadline=None)
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
    expected = units[:3] - statistics.mean()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for camera in (None, "never seen"):
        np.testing.assert_allclose(statistics.apply(vectors[:3], [camera] * 3), expected, atol=1e-5)


def test_a_camera_of_one_crop_hardly_moves_it() -> None:
    """A crop's own mean is itself, so that nothing of it would be left."""
    vectors, cameras = drawn(1)
    cameras[0] = "alone"
    plain = vectors[0] / np.linalg.norm(vectors[0])
    shrunk = CameraStatistics.fit(vectors, cameras).apply(vectors[:1], ["alone"])[0]
    assert float(plain @ shrunk) > 0.9


def people(shift: float, looks: float = 0.0, noise: float = 0.3) -> tuple[Embedded, Embedded]:
    """Draw 30 persons seen by two cameras, each of which adds a vector of its own.

    The first 15 persons differ from the others by ``looks`` times a vector.
    """
    random = np.random.default_rng(3)
    persons = random.normal(size=(30, 16))
    cameras = shift * random.normal(size=(2, 16))
    persons[:15] += looks * random.normal(size=16)
    person, camera = (part.ravel() for part in np.meshgrid(np.arange(30), np.arange(2)))

    def seen(times: int) -> Embedded:
        rows = np.repeat(np.arange(len(person)), times)
        features = persons[person[rows]] + cameras[camera[rows]] + noise * random.normal(size=(len(rows), 16))
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


def test_three_quarters_of_the_shift_harm_less_where_cameras_see_people_of_different_looks() -> None:
    query, gallery = people(0.5, looks=1.5, noise=1.0)
    assert gallery.cameras is not None
    rows = (gallery.persons <= 15) == (gallery.cameras == 0)
    vectors, cameras = gallery.features[rows].numpy(), gallery.cameras[rows].tolist()

    def found(share: float) -> float:
        statistics = CameraStatistics.fit(vectors, cameras, share=share)
        return evaluate(*remove_camera_means(query, gallery, statistics), Protocol()).mAP

    before = evaluate(query, gallery, Protocol()).mAP
    assert before < found(SHARE)
    assert found(1.0) < found(SHARE) - 0.02


@pytest.mark.parametrize("count", [1, 5, 10])
@pytest.mark.parametrize("persons", ["many", "one"])
def test_a_camera_of_few_crops_or_one_person_harms_nobody(count: int, persons: str) -> None:
    query, gallery = people(1.0)
    assert gallery.cameras is not None
    second = (gallery.cameras == 1).nonzero()[:, 0]
    chosen = second[:count] if persons == "one" else second[:: len(second) // count][:count]
    kept = torch.cat([(gallery.cameras == 0).nonzero()[:, 0], chosen])
    if persons == "one":
        kept = torch.cat([kept, *[second[:1]] * (count - 1)])  # the same crop again and again
    few = gallery.take(kept)
    before = evaluate(query, few, Protocol()).mAP
    assert evaluate(*remove_camera_means(query, few), Protocol()).mAP > before - 0.005


def test_a_camera_whose_crops_are_all_alike_keeps_their_direction() -> None:
    query, gallery = people(1.0)
    alike = Embedded(gallery.features[:1].repeat(200, 1), torch.zeros(200, dtype=torch.int64))
    more = Embedded(
        torch.cat([gallery.features, alike.features]),
        torch.cat([gallery.persons, alike.persons]),
        torch.cat([gallery.cameras, torch.full((200,), 7)]),  # type: ignore[list-item]
    )
    before = evaluate(query, more, Protocol()).mAP
    found = remove_camera_means(query, more)
    assert evaluate(*found, Protocol()).mAP > before - 0.005
    torch.testing.assert_close(found[1].features[-200:].norm(dim=1), torch.ones(200))


def test_a_person_whom_one_camera_sees_again_and_again_is_still_found() -> None:
    query, gallery = people(1.0)
    assert gallery.cameras is not None
    mine = (gallery.persons == 1) & (gallery.cameras == 1)
    rows = torch.cat([(~mine).nonzero()[:, 0], mine.nonzero()[:, 0].repeat(40)])
    more = gallery.take(rows)
    assert more.cameras is not None
    more.cameras[-120:] = 7
    asked = query.take(((query.persons == 1) & (query.cameras == 0)).nonzero()[:, 0])
    statistics = CameraStatistics.fit(more.features.numpy(), more.cameras.tolist())
    before = evaluate(asked, more, Protocol()).mAP
    assert evaluate(*remove_camera_means(asked, more, statistics), Protocol()).mAP > before - 0.005


def test_vectors_that_equal_their_mean_are_ranked_last_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vectors = torch.tensor([[1.0, 0], [1, 0], [0.8, 0.6], [0.8, -0.6]])
    statistics = CameraStatistics.fit(vectors[[0, 1, 0, 1]].numpy(), [0, 0, 1, 1])  # all alike
    gallery = Embedded(vectors, torch.tensor([3, 3, 1, 2]), torch.tensor([0, 0, 1, 1]))
    query = Embedded(torch.tensor([[0.8, 0.6]]), torch.tensor([2]), torch.tensor([0]))
    found = remove_camera_means(query, gallery, statistics)
    assert "2 gallery vectors equal their camera's mean, so they are ranked last" in capsys.readouterr().err
    cosines = (found[0].features @ found[1].features.T)[0]
    assert cosines[:2].max() < cosines[2:].min()
    assert evaluate(*found, Protocol(cross_camera=False)).mAP == 0.5


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
