"""Verification: rates, thresholds and calibration, against hand-counted pairs and plain loops."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation import verification
from resight.evaluation.embedded import Embedded
from resight.evaluation.verification import calibrate, halves, verify


def line(places: list[float], persons: list[int], cameras: list[int]) -> Embedded:
    features = torch.tensor([[place, 0.0] for place in places], dtype=torch.float64)
    return Embedded(features, torch.tensor(persons), torch.tensor(cameras))


def test_rates_by_hand() -> None:
    """Pairs of one person at 1 and 4; of two at 2, 6, 8, 9 and 9.5 (2 and 8: a distractor)."""
    query = line([0.0, 10.0, 50.0], [1, 2, -1], [1, 1, 1])
    gallery = line([1.0, 6.0, 0.5, 7.0, 2.0], [1, 2, 1, -1, 0], [2, 2, 1, 2, 2])
    # query 0: 1 (same), 6 (other), 0.5 (own camera), junk, 2 (distractor); query 1: 9, 4 (same), 9.5, 8
    found = verify(query, gallery, metric="euclidean")
    assert (int(found.same.sum()), int(found.different.sum())) == (2, 5)
    at = found.at(1.5)
    assert (at.false_match_rate, at.false_non_match_rate) == (0, 0.5)
    at = found.at(2.5)
    assert (at.false_match_rate, at.false_non_match_rate) == (0.2, 0.5)
    at = found.at(4.5)
    assert (at.false_match_rate, at.false_non_match_rate) == (0.2, 0)
    chosen = found.threshold(0.25)
    assert (chosen.false_match_rate, chosen.false_non_match_rate) == (0.2, 0)
    assert 6 - 2 * found.step <= chosen.threshold < 6
    equal = found.equal_error()
    assert (equal.false_match_rate, equal.false_non_match_rate) == (0.2, 0)
    assert found.area() == pytest.approx(9 / 10)  # one of the ten comparisons is the wrong way round
    assert found.at(-1).false_non_match_rate == 1
    assert found.at(1e9).false_match_rate == 1


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("protocol", [Protocol(), EVERY_OTHER_IMAGE])
def test_as_a_plain_loop_over_pairs(
    metric: Literal["cosine", "euclidean"], protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "TILE_ENTRIES", 100)
    random = np.random.default_rng(3)
    persons = random.integers(-1, 6, 90)
    features = random.normal(size=(90, 8)) + 2 * random.normal(size=(8, 8))[persons]
    everyone = Embedded(
        torch.from_numpy(features),
        torch.from_numpy(persons),
        torch.from_numpy(random.integers(0, 3, 90)),
        torch.arange(90),
    )
    query, gallery = everyone.take(torch.arange(40)), everyone.take(torch.arange(20, 90))
    distances, labels = [], []
    for q in range(40):
        for g in range(20, 90):
            same = persons[q] == persons[g]
            own_camera = protocol.cross_camera and same and everyone.cameras[q] == everyone.cameras[g]
            if persons[q] < 1 or persons[g] == -1 or q == g or own_camera:
                continue
            a, b = features[q], features[g]
            cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            distances.append(cosine if metric == "cosine" else np.linalg.norm(a - b))
            labels.append(same)
    far, right = np.array(distances), np.array(labels)
    found = verify(query, gallery, protocol, metric=metric)
    assert (int(found.same.sum()), int(found.different.sum())) == (right.sum(), (~right).sum())
    for threshold in np.quantile(far, [0.01, 0.1, 0.3, 0.7, 0.95]) + found.step / 3:
        rates = found.at(threshold)
        assert rates.false_match_rate == pytest.approx((far[~right] <= rates.threshold).mean(), abs=1e-9)
        assert rates.false_non_match_rate == pytest.approx((far[right] > rates.threshold).mean(), abs=1e-9)
    for wished in (0.01, 0.1):
        chosen = found.threshold(wished)
        assert chosen.false_match_rate <= wished
        assert found.at(chosen.threshold + 1.5 * found.step).false_match_rate > wished
    assert found.area() == pytest.approx(roc_auc_score(right, -far), abs=1e-5)
    equal = found.as_dict()["equal_error_rate"]
    candidates = [((far[~right] <= t).mean(), (far[right] > t).mean()) for t in np.sort(far)]
    assert equal == pytest.approx(np.mean(min(candidates, key=lambda pair: abs(pair[0] - pair[1]))), abs=1e-3)
    assert [
        rates.false_match_rate <= wished
        for rates, wished in zip(found.roc(), (1e-3, 1e-2, 1e-1), strict=True)
    ]


def clusters(persons: int, noise: float) -> tuple[Embedded, Embedded]:
    random = torch.Generator().manual_seed(1)
    centres = torch.randn(persons, 16, generator=random)

    def view(camera: int) -> Embedded:
        features = centres + noise * torch.randn(persons, 16, generator=random)
        return Embedded(features, torch.arange(1, persons + 1), torch.full((persons,), camera))

    return view(1), view(2)


def test_a_threshold_of_one_half_holds_on_the_other() -> None:
    query, gallery = clusters(400, 0.8)
    found = calibrate(query, gallery, Protocol(), 0.01)
    assert found.chosen.false_match_rate <= 0.01
    assert found.checked.threshold == found.chosen.threshold
    assert 0.005 < found.checked.false_match_rate < 0.02
    assert found.checked.false_non_match_rate == pytest.approx(found.chosen.false_non_match_rate, abs=0.1)
    assert calibrate(query, gallery, Protocol(), 0.01, seed=1).chosen != found.chosen


def test_halves_share_no_person_and_leave_nothing_out() -> None:
    query = line([0.0] * 5, [1, 2, 3, 4, 4], [1] * 5)
    gallery = line([0.0] * 8, [1, 2, 3, 4, 0, 0, -1, 9], [2] * 8)
    first, second = halves(query, gallery, 0)
    persons = [set(query.persons[rows].tolist()) for rows in (first[0], second[0])]
    assert len(persons[0]) == len(persons[1]) == 2
    assert not persons[0] & persons[1]
    for side, total in ((0, 5), (1, 8)):
        assert sorted(torch.cat((first[side], second[side])).tolist()) == list(range(total))
    for rows, own in zip((first[1], second[1]), persons, strict=True):
        found = gallery.persons[rows].tolist()
        assert own <= set(found)
        assert found.count(0) == 1


def test_what_cannot_be_told() -> None:
    query, gallery = clusters(20, 0.5)
    found = verify(query, gallery)
    with pytest.raises(
        UserError, match=r"0.001 cannot be measured with 380 pairs of two persons: one pair is 0.003"
    ):
        found.threshold(0.001)
    with pytest.raises(UserError, match=r"between 0 and 1.*got 2"):
        found.threshold(2)
    alike = Embedded(torch.ones(20, 4), query.persons, query.cameras)
    flat = verify(alike, Embedded(torch.ones(20, 4), gallery.persons, gallery.cameras), metric="euclidean")
    with pytest.raises(UserError, match="380 of 380 pairs of different persons are at distance 0"):
        flat.threshold(0.5)
    assert flat.equal_error().threshold == 0
    assert flat.area() == pytest.approx(0.5)
    with pytest.raises(UserError, match="no pair of crops of one person"):
        verify(query, Embedded(gallery.features, gallery.persons + 50, gallery.cameras))
    one = torch.tensor([0])
    with pytest.raises(UserError, match="no pair of crops of two persons"):
        verify(query.take(one), gallery.take(one))
    assert math.isclose(found.at(found.step * 7).threshold, found.step * 7)
