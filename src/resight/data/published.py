"""Comparing a data set with its published counts: missing and additional crops, and their likely cause."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from resight.data.benchmark import Benchmark, Published, PublishedCounts
from resight.data.crop import DISTRACTOR, JUNK, Crop

WORDS = {"crops": "crops", "persons": "persons", "junk": "junk crops", "distractors": "distractors"}


def compare(benchmark: Benchmark) -> list[str]:
    """Return sentences about counts that are not as published, and about their likely cause.

    Empty if all are as published, or the set is not a known one.
    """
    return [] if benchmark.published is None else differences(benchmark.published, counts(benchmark))


def differences(
    published: Published, found: Mapping[str, PublishedCounts], words: Mapping[str, str] = WORDS
) -> list[str]:
    """Do what ``compare`` does, for given counts.

    Args:
        published: the published counts.
        found: part -> its counts.
        words: field of the counts -> its name in sentences.
    """
    wrong = [
        sentence
        for part, wanted in published.counts.items()
        for sentence in _differences(part, found[part], wanted, words)
    ]
    if not wrong:
        return []
    sentences = [
        f"Not as {published.source.name} was published, so its scores are not comparable with published "
        f"ones: {'; '.join(wrong)}."
    ]
    sentences += (sentence for sentence, wanted in published.mixups.items() if _equal(found, wanted, words))
    return sentences


def describe(
    published: Published, found: Mapping[str, PublishedCounts], words: Mapping[str, str] = WORDS
) -> dict[str, Any]:
    """Return source, counts and differences as plain data; arguments are those of ``differences``."""
    wrong = differences(published, found, words)
    return {
        "name": published.source.name,
        "address": published.source.address,
        "terms": published.source.terms,
        "as_published": not wrong,
        "differences": wrong,
        "counts": {
            part: {"published": asdict(wanted), "found": asdict(found[part])}
            for part, wanted in published.counts.items()
        },
    }


def counts(benchmark: Benchmark) -> dict[str, PublishedCounts]:
    """Return the counts of every part."""
    return {part: count(getattr(benchmark, part)) for part in ("train", "query", "gallery")}


def count(crops: Sequence[Crop]) -> PublishedCounts:
    """Return the counts of a part."""
    return PublishedCounts(
        crops=len(crops),
        persons=len({crop.person for crop in crops if crop.person > 0}),
        junk=sum(crop.person == JUNK for crop in crops),
        distractors=sum(crop.person == DISTRACTOR for crop in crops),
    )


def _differences(
    part: str, found: PublishedCounts, wanted: PublishedCounts, words: Mapping[str, str]
) -> list[str]:
    if not found.crops:
        return [f"there is no {part} part"]
    sentences = []
    for field in fields(PublishedCounts):
        here, there = getattr(found, field.name), getattr(wanted, field.name)
        if there is not None and here != there:
            gap = f"{there - here:,} missing" if here < there else f"{here - there:,} too many"
            sentences.append(f"{part}: {here:,} of {there:,} {words[field.name]}, {gap}")
    return sentences


def _equal(
    found: Mapping[str, PublishedCounts], wanted: Mapping[str, PublishedCounts], words: Mapping[str, str]
) -> bool:
    return all(not _differences(part, found[part], counts, words) for part, counts in wanted.items())
