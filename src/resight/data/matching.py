"""The queries of a test part that have a match by the protocol, and why the others have none."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from resight.data.benchmark import Benchmark
from resight.data.crop import JUNK, Crop
from resight.data.pairs import CropLabels, ProtocolPairs
from resight.errors import UserError

UNKNOWN = -1
"""Label of an unknown camera or of unknown clothes."""


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """Counts of queries and matches, by the rule of evaluation.

    Attributes:
        queries: in all.
        with_match: queries with a gallery crop that counts as right.
        person_missing: queries whose person is not in the gallery (besides the query itself).
        same_camera_only: queries whose person is in the gallery under the query's own camera only.
        not_a_person: queries labelled as junk or distractor.
        pairs: of query and gallery crop that count as right.
    """

    queries: int
    with_match: int
    person_missing: int
    same_camera_only: int
    not_a_person: int
    pairs: int

    def why_none(self) -> str:
        """Return why the other queries have no match, for a sentence."""
        reasons = (
            (self.person_missing, "of persons who are not there"),
            (self.same_camera_only, "of persons who are there under the query's own camera only"),
            (self.not_a_person, "labelled as junk or distractor"),
        )
        return ", ".join(f"{count} {reason}" for count, reason in reasons if count)


def persons_in_both(benchmark: Benchmark) -> tuple[int, ...]:
    """Return the persons that are both in the training part and in the test."""
    train = {crop.person for crop in benchmark.train}
    test = {crop.person for crop in (*benchmark.query, *benchmark.gallery) if crop.person > 0}
    return tuple(sorted(train & test))


def refuse_trained_persons(benchmark: Benchmark) -> None:
    """Refuse to train on persons of the test.

    Raises:
        UserError: there are some.
    """
    if both := persons_in_both(benchmark):
        named = ", ".join(benchmark.names.get(person, str(person)) for person in both[:3])
        raise UserError(
            f"{len(both)} persons of {benchmark.root} are in both the training part and the test, such as "
            f"{named}: a score would not tell how unseen people are recognised. Give --holdout N to test on "
            "N persons of the training part instead, or --holdout 0 for no test."
        )


def refuse_without_match(benchmark: Benchmark) -> None:
    """Refuse a test part without any match, before hours of training or embedding.

    Raises:
        UserError: no query has a match in the gallery; the message counts the reasons.
    """
    if not benchmark.query:
        return
    matches = count_matches(benchmark)
    if not matches.with_match:
        advice = (
            " If the camera labels do not separate cameras, let crops of the same camera count with "
            "--no-cross-camera."
            if matches.same_camera_only
            else ""
        )
        raise UserError(
            f"None of the {matches.queries} queries in {benchmark.root} has a match in the gallery of "
            f"{len(benchmark.gallery)} crops: {matches.why_none()}.{advice}"
        )


def count_matches(benchmark: Benchmark) -> MatchCounts:
    """Count the queries that have a match in the gallery, and why the others have none."""
    gallery = [crop for crop in benchmark.gallery if crop.person != JUNK]
    items: dict[Crop, int] = {}
    query_labels, gallery_labels = (_labels(crops, items) for crops in (benchmark.query, gallery))
    rule = ProtocolPairs(benchmark.protocol, query_labels, gallery_labels)
    pairs = rule.of(torch.arange(len(benchmark.query)))
    matches, itself = (
        row.bincount(minlength=len(benchmark.query)) for row, _ in (pairs.matches, pairs.itself)
    )
    person = query_labels.persons > 0
    lost = person & (matches == 0)
    others = pairs.of_person > itself
    return MatchCounts(
        queries=len(benchmark.query),
        with_match=int((matches > 0).sum()),
        person_missing=int((lost & ~others).sum()),
        same_camera_only=int((lost & others).sum()),
        not_a_person=int((~person).sum()),
        pairs=int(matches.sum()),
    )


def _labels(crops: Sequence[Crop], items: dict[Crop, int]) -> CropLabels:
    """Return the labels of crops; ``items`` collects the number of each crop."""
    persons, cameras, numbers, clothes = (
        torch.tensor(list(column), dtype=torch.int64)
        for column in (
            (crop.person for crop in crops),
            (UNKNOWN if crop.camera is None else crop.camera for crop in crops),
            (items.setdefault(crop, len(items)) for crop in crops),
            (UNKNOWN if crop.clothes is None else crop.clothes for crop in crops),
        )
    )
    return CropLabels(persons, cameras, numbers, clothes)
