"""Which distance means the same person: thresholds measured on labelled crops."""

import numpy as np
import torch

from resight.data.benchmark import EVERY_OTHER_IMAGE, Protocol
from resight.errors import UserError
from resight.evaluation.embedded import Embedded
from resight.evaluation.verification import Verification, calibrate, verify
from resight.gallery.crops import Filter
from resight.gallery.metadata import Calibration, OperatingPoint, now
from resight.gallery.stores.store import Store
from resight.inference.embedder import Vectors

QUERIES = 4000
"""Crops, drawn at random, that are compared with all others."""

HIGHEST = 0.2
"""False-match rate from which on a match says nothing."""

LABELLED = Filter(labelled=True)


def labelled_crops(store: Store) -> Embedded:
    """Return the labelled crops of a store, persons and cameras numbered.

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
            "Nobody has said of any crop in the gallery which person it shows, so it cannot be calibrated "
            "from these. Add labelled crops, or calibrate with features of others: --features FOLDER"
        )
    people = {name: number for number, name in enumerate(dict.fromkeys(persons), 1)}
    places = {name: number for number, name in enumerate(dict.fromkeys(cameras))}
    return Embedded(
        torch.from_numpy(np.stack(vectors)),  # type: ignore[arg-type]
        torch.tensor([people[name] for name in persons]),
        None if None in places else torch.tensor([places[name] for name in cameras]),
    )


def measure(crops: Embedded, origin: str, false_match_rate: float) -> Calibration:
    """Measure thresholds on labelled crops, each compared with all others.

    Pairs of one person under one camera are left out, if any person was seen by two cameras: they are easier
    than what a search is for.

    Args:
        crops: with persons.
        origin: where they are from.
        false_match_rate: of the check; a higher one is taken where there are too few crops to measure it.

    Raises:
        UserError: there are no two crops of one person, or no two persons; no such rate.
    """
    if not 0 < false_match_rate <= HIGHEST:
        raise UserError(
            f"The false-match rate must be above 0 and at most {HIGHEST}, such as 0.001; "
            f"got {false_match_rate}."
        )
    crops = Embedded(crops.features, crops.persons, crops.cameras, torch.arange(len(crops)))
    rows = torch.randperm(len(crops), generator=torch.Generator().manual_seed(0))[:QUERIES].sort().values
    queries, protocol = crops.take(rows), Protocol() if _seen_twice(crops) else EVERY_OTHER_IMAGE
    found = verify(queries, crops, protocol)
    rates = _table(found)
    wished = max(false_match_rate, 20 / int(found.different.sum()))  # a half has a quarter of the pairs
    if wished > HIGHEST or not rates:
        raise UserError(
            f"{len(crops):,} labelled crops make {int(found.different.sum()):,} pairs of two persons, too "
            "few to measure false-match rates. Label more."
        )
    check = calibrate(queries, crops, protocol, false_match_rate=wished).checked
    return Calibration(
        rates=rates,
        wished=wished,
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
    """Return ten thresholds a decade of the false-match rate, as far down as so many pairs can tell.

    Each has the wished rate, which is not below the measured one.
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
    """Tell whether any person was seen by two cameras."""
    if crops.cameras is None:
        return False
    people = crops.persons[crops.persons > 0]
    pairs = torch.stack((crops.persons, crops.cameras))[:, crops.persons > 0].unique(dim=1)
    return bool(pairs.shape[1] > len(people.unique()))
