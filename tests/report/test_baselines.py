"""Untrained baselines: right by construction on toy crops."""

import colorsys

import numpy as np
import pytest
import torch

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.evaluation.embedded import Embedded
from resight.evaluation.scores import evaluate
from resight.report.baselines import (
    COLOURS,
    LAB_BINS,
    STRIPES,
    _to_lab,
    chance,
    score_baselines,
    stripe_histogram,
    without_camera_mean,
)


def labels(persons: list[int], cameras: list[int] | None = None) -> Embedded:
    """Return crops with labels and features that mean nothing."""
    count = len(persons)
    known = None if cameras is None else torch.tensor(cameras)
    return Embedded(torch.ones(count, 1), torch.tensor(persons), known)


def test_histogram_counts_each_pixel_in_its_stripe_and_its_hsv_bin() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 9, 3), dtype=np.uint8)
    expected = np.zeros((2, STRIPES, 128))
    for image, row, column in np.ndindex(2, 20, 9):
        hue, saturation, value = colorsys.rgb_to_hsv(*((pixels[image, row, column] // 4 + 0.5) / 64))
        place = min(int(hue * 8), 7) * 16 + min(int(saturation * 4), 3) * 4 + min(int(value * 4), 3)
        expected[image, row * STRIPES // 20, place] += np.exp(-(((column - 4) / (9 / 4)) ** 2))
    found = stripe_histogram(pixels).view(2, STRIPES, COLOURS)[..., :128].numpy()
    # both histograms of a crop weigh the same, so the whole has twice the sum of the first
    assert found == pytest.approx(np.sqrt(expected / (2 * expected.sum((1, 2), keepdims=True))), abs=1e-5)


def test_histogram_of_lab_has_the_same_weight_in_each_stripe() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 12, 8, 3), dtype=np.uint8)
    squares = stripe_histogram(pixels).view(STRIPES, COLOURS).square()
    assert squares[:, :128].sum(1).tolist() == pytest.approx(squares[:, 128:].sum(1).tolist(), abs=1e-6)
    assert squares.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("colour", "lab"), [((1, 1, 1), (100, 0, 0)), ((1, 0, 0), (53.24, 80.09, 67.20)), ((0, 0, 0), (0, 0, 0))]
)
def test_lab_of_known_colours(colour: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = [float(part[0]) for part in _to_lab(np.array([colour], np.float32))]
    assert found == pytest.approx(lab, abs=0.05)


def test_grey_and_colourful_crops_fall_into_different_bins() -> None:
    grey, blue = np.full((12, 6, 3), 128, np.uint8), np.full((12, 6, 3), (20, 30, 160), np.uint8)
    upside_down = np.concatenate([blue[:6], grey[:6]]), np.concatenate([grey[:6], blue[:6]])
    features = stripe_histogram(np.stack([grey, blue, *upside_down]))
    similarity = features @ features.T
    assert similarity.diagonal().tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert similarity[0, 1] == 0
    assert similarity[2, 3] == 0  # the same colours, in other stripes
    assert similarity[0, 2] == pytest.approx(0.5, abs=1e-5)
    assert int((features[0] > 0).sum()) == 2 * STRIPES
    assert LAB_BINS == (8, 8, 8)


def test_histogram_does_not_depend_on_the_batch_size() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (7, 16, 8, 3), dtype=np.uint8)
    assert torch.equal(stripe_histogram(pixels), stripe_histogram(pixels, batch_size=3))


def test_removing_camera_means_undoes_what_a_camera_adds() -> None:
    random = torch.Generator().manual_seed(0)
    persons, cameras = torch.randn(30, 40, generator=random), 20 * torch.randn(3, 40, generator=random)
    query = Embedded(persons + cameras[0], torch.arange(1, 31), torch.zeros(30, dtype=torch.int64))
    gallery = Embedded(
        torch.cat([persons + cameras[1], persons + cameras[2]]),
        torch.arange(1, 31).repeat(2),
        torch.tensor([1] * 30 + [2] * 30),
    )
    assert evaluate(query, gallery).mAP < 0.7
    assert evaluate(*without_camera_mean(query, gallery)).mAP > 0.99


def test_the_only_crop_of_a_camera_can_still_be_ranked() -> None:
    features = torch.eye(4)
    query = Embedded(features[:1], torch.tensor([1]), torch.tensor([7]))
    gallery = Embedded(features[1:], torch.tensor([1, 2, 3]), torch.tensor([1, 1, 1]))
    corrected = without_camera_mean(query, gallery)
    assert evaluate(*corrected).queries == 1
    assert torch.equal(query.features, torch.eye(4)[:1])  # what was given is left as it was


def test_chance_is_what_drawing_at_random_expects() -> None:
    query = labels(list(range(1, 101)), [0] * 100)
    gallery = labels([person for person in range(1, 101) for _ in range(5)], [1] * 500)
    rates = [evaluate(*chance(query, gallery, seed)).rank(1) for seed in range(30)]
    assert np.mean(rates) == pytest.approx(5 / 500, abs=0.005)
    assert torch.equal(chance(query, gallery, 3)[0].features, chance(query, gallery, 3)[0].features)
    assert not torch.equal(chance(query, gallery, 3)[0].features, chance(query, gallery, 4)[0].features)


def test_scores_of_three_baselines_or_of_two_without_cameras() -> None:
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (6, 1, 1, 3)).repeat(18, 1).repeat(8, 2)
    pixels = np.clip(colours + random.normal(0, 5, colours.shape), 0, 255).astype(np.uint8)
    features = stripe_histogram(pixels)
    persons = list(range(1, 7))
    query, gallery = labels(persons, [0] * 6), labels(persons, [1] * 6)
    found = score_baselines(query, gallery, features, features, Protocol())
    assert [entry.name for entry in found] == ["Chance", "Stripe histogram", "Histogram, camera mean removed"]
    assert found[1].scores["rank1"] == found[1].cmc[0] == 1
    assert 0 < found[0].scores["mAP"] < 0.9
    again = score_baselines(query, gallery, features, features, Protocol())
    assert again == found

    no_cameras = score_baselines(labels(persons), labels(persons), features, features, EVERY_OTHER_IMAGE)
    assert [entry.name for entry in no_cameras] == ["Chance", "Stripe histogram"]
