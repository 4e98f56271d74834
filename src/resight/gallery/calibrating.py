"""Distance thresholds for "the same person", measured on labelled crops."""

from dataclasses import replace

import numpy as np
import torch

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation.cameras import CameraStatistics, unit_or_zero
from resight.evaluation.embedded import Embedded
from resight.evaluation.verification import Verification, calibrate, verify
from resight.gallery.cameras import CameraMeans
from resight.gallery.crops import Filter
from resight.gallery.metadata import Calibration, OperatingPoint, now
from resight.gallery.stores.store import Store
from resight.inference.embedder import Vectors

QUERIES = 4000
"""Number of random crops that are compared with all others."""

MAX_RATE = 0.2
"""Highest useful false-match rate: above it, a match means little."""

LABELLED = Filter(labelled=True)


def labelled_crops(store: Store) -> Embedded:
    """Return the labelled crops of a store, with persons and cameras as numbers.

    Raises:
        UserError: there are none.
    """
    vectors: list[Vectors | None] = []
    persons: list[str] = []
    cameras: list[str | None] = []
    for records in store.scan(LABELLED, "vector"):
        vectors += [record.vector for record in records]
        persons += [record.payload["person"] for record in records]
        cameras += [record.payload.get("camera") for record in records]
    if not vectors:
        raise UserError(
            "No crop in the gallery is labelled with a person, so they cannot be used for calibration. "
            "Label some crops, or calibrate with the features of other crops: --features FOLDER"
        )
    people = {name: number for number, name in enumerate(dict.fromkeys(persons), 1)}
    places = {name: number for number, name in enumerate(dict.fromkeys(cameras))}
    return Embedded(
        torch.from_numpy(np.stack(vectors)),  # type: ignore[arg-type]
        torch.tensor([people[name] for name in persons]),
        None if None in places else torch.tensor([places[name] for name in cameras]),
    )


def without_means(crops: Embedded, means: CameraMeans) -> Embedded:
    """Return features of other crops than a gallery's without the means of their own cameras.

    If these are unknown, or there is only one, the overall mean of the gallery is subtracted.
    """
    vectors = unit_or_zero(crops.features.float().cpu().numpy())
    cameras = [] if crops.cameras is None else crops.cameras.tolist()
    if len(set(cameras)) > 1:
        vectors = CameraStatistics.fit(vectors, cameras).apply(vectors, cameras)
    else:
        vectors = means.query(vectors, [None] * len(vectors))
    return replace(crops, features=torch.from_numpy(vectors))


def measure(crops: Embedded, origin: str, false_match_rate: float) -> Calibration:
    """Measure thresholds on labelled crops, each compared with all others.

    If any person was seen by two cameras, pairs of one person and one camera are left out: they are easier
    than the matches that a search looks for.

    Args:
        crops: with persons.
        origin: where the crops come from, for messages.
        false_match_rate: target of the check; a higher rate is used if the crops are too few to measure it.

    Raises:
        UserError: no person has two crops, there is only one person, or the rate is out of range.
    """
    if not 0 < false_match_rate <= MAX_RATE:
        raise UserError(
            f"The false-match rate must be above 0 and at most {MAX_RATE}, such as 0.001; "
            f"got {false_match_rate}."
        )
    crops = Embedded(crops.features, crops.persons, crops.cameras, torch.arange(len(crops)))
    rows = torch.randperm(len(crops), generator=torch.Generator().manual_seed(0))[:QUERIES].sort().values
    queries, protocol = crops.take(rows), Protocol() if _seen_twice(crops) else EVERY_OTHER_IMAGE
    found = verify(queries, crops, protocol)
    rates = _table(found)
    target = max(
        false_match_rate, 20 / int(found.different.sum())
    )  # half of the crops: a quarter of the pairs
    if target > MAX_RATE or not rates:
        raise UserError(
            f"{len(crops):,} labelled crops make {int(found.different.sum()):,} pairs of two persons, too "
            "few to measure false-match rates. Label more."
        )
    check = calibrate(queries, crops, protocol, false_match_rate=target).checked
    return Calibration(
        rates=rates,
        target=target,
        checked=OperatingPoint(
            threshold=check.threshold,
            false_match_rate=check.false_match_rate,
            matches_found=1 - check.false_non_match_rate,
        ),
        crops=len(crops),
        persons=len(crops.persons.unique()),
        origin=origin,
        made=now(),
    )


def _table(found: Verification) -> tuple[OperatingPoint, ...]:
    """Return ten thresholds per decade of the false-match rate, down to the lowest that the pairs can
    measure.

    Each is given with its nominal rate; the measured rate is not above it.
    """
    pairs, none = int(found.different.sum()), int(found.different[0])
    rates = (10 ** (step / 10) for step in range(-60, -2))
    points = [(rate, found.threshold(rate)) for rate in rates if rate * pairs >= 1 and none <= rate * pairs]
    return tuple(
        OperatingPoint(
            threshold=point.threshold, false_match_rate=rate, matches_found=1 - point.false_non_match_rate
        )
        for rate, point in points
    )


def _seen_twice(crops: Embedded) -> bool:
    """Return whether any person was seen by two cameras."""
    if crops.cameras is None:
        return False
    people = crops.persons[crops.persons > 0]
    pairs = torch.stack((crops.persons, crops.cameras))[:, crops.persons > 0].unique(dim=1)
    return bool(pairs.shape[1] > len(people.unique()))
