"""What a protocol leaves of a test part: which queries have a match, and why the others have none."""

from collections import Counter
from dataclasses import dataclass

from resight.data.benchmark import Benchmark
from resight.errors import UserError


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """What the protocol leaves of the test, as evaluation counts it.

    Attributes:
        queries: all of them.
        with_match: queries of which a gallery crop counts as right.
        person_missing: queries whose person is not in the gallery (besides the query itself).
        same_camera_only: queries whose person is in the gallery under the query's own camera only.
        not_a_person: queries labelled as junk or distractor.
        pairs: pairs of query and gallery crop that count as right.
    """

    queries: int
    with_match: int
    person_missing: int
    same_camera_only: int
    not_a_person: int
    pairs: int

    def why_none(self) -> str:
        """Return what keeps the other queries from a match, for a sentence."""
        reasons = (
            (self.person_missing, "of persons who are not there"),
            (self.same_camera_only, "of persons who are there under the query's own camera only"),
            (self.not_a_person, "labelled as junk or distractor"),
        )
        return ", ".join(f"{count} {reason}" for count, reason in reasons if count)


def refuse_without_match(benchmark: Benchmark) -> None:
    """Refuse a test part in which nothing can be found, before hours of training or embedding go by.

    Raises:
        UserError: no query has a match in the gallery; the sentence says which rule removed how many.
    """
    if not benchmark.query:
        return
    matches = count_matches(benchmark)
    if not matches.with_match:
        advice = (
            " If the camera labels do not tell cameras apart, let crops of the same camera count with "
            "--no-cross-camera."
            if matches.same_camera_only
            else ""
        )
        raise UserError(
            f"None of the {matches.queries} queries in {benchmark.root} has a match in the gallery of "
            f"{len(benchmark.gallery)} crops: {matches.why_none()}.{advice}"
        )


def count_matches(benchmark: Benchmark) -> MatchCounts:
    """Count which queries have a match in the gallery by the protocol, and why the others have none."""
    of_person = Counter(crop.person for crop in benchmark.gallery)
    of_view = Counter((crop.person, crop.camera) for crop in benchmark.gallery)
    in_gallery = set(benchmark.gallery)
    found: Counter[str] = Counter()
    pairs = 0
    for query in benchmark.query:
        others = of_person[query.person] - (query in in_gallery)
        right = others
        if benchmark.protocol.cross_camera:
            right = of_person[query.person] - of_view[query.person, query.camera]
        if query.person <= 0:
            found["not_a_person"] += 1
        elif right:
            found["with_match"] += 1
            pairs += right
        else:
            found["same_camera_only" if others else "person_missing"] += 1
    names = ("with_match", "person_missing", "same_camera_only", "not_a_person")
    return MatchCounts(len(benchmark.query), **{name: found[name] for name in names}, pairs=pairs)
