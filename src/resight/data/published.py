"""A data set against the counts that its owners published: what is missing, what is extra, what it may be."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from resight.data.benchmark import Benchmark, Counts
from resight.data.crop import DISTRACTOR, JUNK, Crop

WORDS = {"crops": "crops", "persons": "persons", "junk": "junk crops", "distractors": "distractors"}


def compare(benchmark: Benchmark) -> list[str]:
    """Return a sentence for each count that is not as published, and for the mix-up that it looks like.

    Empty where all is as published, or the set is not a known one.
    """
    published = benchmark.published
    if published is None:
        return []
    found = {part: count(getattr(benchmark, part)) for part in ("train", "query", "gallery")}
    wrong = [
        sentence
        for part, wanted in published.counts.items()
        for sentence in _differences(part, found[part], wanted)
    ]
    if not wrong:
        return []
    sentences = [
        f"Not as {published.source.name} was published, so its scores are not comparable with published "
        f"ones: {'; '.join(wrong)}."
    ]
    sentences += (sentence for sentence, counts in published.mixups.items() if _equal(found, counts))
    return sentences


def count(crops: Sequence[Crop]) -> Counts:
    """Count a part in the way that published counts do."""
    return Counts(
        crops=len(crops),
        persons=len({crop.person for crop in crops if crop.person > 0}),
        junk=sum(crop.person == JUNK for crop in crops),
        distractors=sum(crop.person == DISTRACTOR for crop in crops),
    )


def _differences(part: str, found: Counts, wanted: Counts) -> list[str]:
    if not found.crops:
        return [f"there is no {part} part"]
    sentences = []
    for field in fields(Counts):
        here, there = getattr(found, field.name), getattr(wanted, field.name)
        if there is not None and here != there:
            gap = f"{there - here:,} missing" if here < there else f"{here - there:,} too many"
            sentences.append(f"{part}: {here:,} of {there:,} {WORDS[field.name]}, {gap}")
    return sentences


def _equal(found: Mapping[str, Counts], counts: Mapping[str, Counts]) -> bool:
    return all(not _differences(part, found[part], wanted) for part, wanted in counts.items())
