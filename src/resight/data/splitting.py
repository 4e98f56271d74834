"""Splits for data sets without a test part: persons held out, and queries chosen among their crops."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from resight.data.benchmark import EVERY_OTHER_IMAGE, Benchmark, Protocol
from resight.data.crop import Crop
from resight.errors import UserError

FEWEST_TO_SPLIT = 4
"""Fewer persons than this are split only if a number is given: two to train on, two to test."""


def only_persons(benchmark: Benchmark) -> Benchmark:
    """Leave junk and distractors out of the training part."""
    train = tuple(crop for crop in benchmark.train if crop.person > 0)
    dropped = len(benchmark.train) - len(train)
    if not dropped:
        return benchmark
    note = f"{dropped} junk and distractor crops are left out of the training part."
    return replace(benchmark, train=train, notes=(*benchmark.notes, note))


def hold_out(benchmark: Benchmark, holdout: int | None) -> Benchmark:
    """Move the last persons (by number) of the training part into query and gallery.

    Junk and distractors among the training crops join that gallery; without a test they are left out. The
    set's own test part is replaced.

    Args:
        benchmark: what a reader returned.
        holdout: number of persons; None: the last fifth, at least 2; 0: no test.

    Raises:
        UserError: there are fewer persons than that.
    """
    persons = sorted({crop.person for crop in benchmark.train if crop.person > 0})
    notes = list(benchmark.notes)
    if benchmark.query or benchmark.gallery:
        notes.append(
            "The set's own test part is not used, because a number of persons to hold out was given."
        )
    count = holdout
    if count is None and benchmark.published is not None:
        notes.append(f"{benchmark.published.source.name} has a test part, which is missing here.")
    if count is None:
        count = max(2, len(persons) // 5) if len(persons) >= FEWEST_TO_SPLIT else 0
        notes.append(
            f"No test part: the last {count} of {len(persons)} persons are held out to test on "
            "(--holdout N sets how many)."
            if count
            else f"No test part, and {len(persons)} persons are too few to hold some out: there is no test."
        )
    if not 0 <= count <= len(persons):
        raise UserError(
            f"{count} persons cannot be held out: {benchmark.root} has {len(persons)} persons to train on. "
            f"Give a --holdout between 0 (no test) and {len(persons)}."
        )
    held = set(persons[len(persons) - count :])
    benchmark = replace(benchmark, query_pool=(), draws=(), published=None)  # those are of the set's own test
    others = tuple(crop for crop in benchmark.train if crop.person <= 0)
    kept = tuple(crop for crop in benchmark.train if crop.person > 0 and crop.person not in held)
    test = tuple(crop for crop in benchmark.train if crop.person in held)
    if not held:
        return only_persons(replace(benchmark, query=(), gallery=(), notes=tuple(notes), held_out=0))
    query, gallery, protocol, reason = make_test(test, others)
    return replace(
        benchmark,
        train=kept,
        query=query,
        gallery=gallery,
        protocol=protocol,
        notes=(*notes, *reason),
        held_out=count,
    )


def make_test(
    crops: Sequence[Crop], others: Sequence[Crop] = ()
) -> tuple[tuple[Crop, ...], tuple[Crop, ...], Protocol, tuple[str, ...]]:
    """Choose queries among the crops of test persons.

    The first crop of each person in each camera is a query, the others are the gallery, and the cross-camera
    rule applies. If that rule would leave no match (cameras not known, or nobody seen by two of them),
    every crop is query and gallery, and every other image of the person counts.

    Args:
        crops: of the test persons, in order.
        others: junk and distractors for the gallery.

    Returns:
        Query, gallery, protocol, and notes about the choice and its reason.
    """
    cameras = defaultdict(set)
    for crop in crops:
        cameras[crop.person].add(crop.camera)
    if any(crop.camera is None for crop in crops):
        reason = "Cameras are not known"
    elif all(len(seen) == 1 for seen in cameras.values()):
        reason = "No test person is seen by two cameras"
    else:
        first: dict[tuple[int, int | None], Crop] = {}
        for crop in crops:
            first.setdefault((crop.person, crop.camera), crop)
        queries = set(first.values())
        gallery = tuple(crop for crop in crops if crop not in queries)
        return tuple(first.values()), (*gallery, *others), Protocol(), ()
    note = (
        f"{reason}, so in the test every other image of the person counts: each crop is a query against all "
        f"other crops (protocol '{EVERY_OTHER_IMAGE.name}', easier than the cross-camera rule)."
    )
    return tuple(crops), (*crops, *others), EVERY_OTHER_IMAGE, (note,)
