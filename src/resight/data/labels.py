"""Labels of a data set as they are used: person 0, numbers of any length, names that are no UTF-8."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from resight.data.accounting import everything
from resight.data.benchmark import Benchmark, Draw
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.names import readable

LARGEST = 2**31 - 1
"""Numbers of persons and cameras above this are replaced."""

NUMBERED = "are numbered"
"""Words of each note on numbers that stand for labels, which are of no use where labels are kept."""


def zero_is_person(query: Iterable[int]) -> bool:
    """Return whether the label 0 is a person: if a query has it. Otherwise it marks distractors."""
    return DISTRACTOR in query


def settle_labels(benchmark: Benchmark) -> Benchmark:
    """Return the data set with labels that every command can use, and notes on those that were replaced.

    Label 0 is a person if a query has it, or if there are persons to train on who have it, without any junk
    beside them; elsewhere it marks distractors. Then all persons get the next number.
    """
    trained = {crop.person for crop in benchmark.train}
    everywhere = zero_is_person(crop.person for crop in benchmark.query)
    in_training = DISTRACTOR in trained and JUNK not in trained and len(trained) > 1
    benchmark = replace(
        benchmark,
        name=readable(benchmark.name),
        names={number: readable(name) for number, name in benchmark.names.items()},
    )
    if everywhere or in_training:
        why = "a query has it" if everywhere else "crops to train on have it"
        zero = {True: 1, False: DISTRACTOR}
        benchmark = _renumber(
            benchmark,
            lambda number, part: number + 1 if number > 0 else zero[everywhere or part == "train"],
            f"Label 0 is a person, as {why}; in a gallery alone it would mark distractors.",
        )
    crops = everything(benchmark)
    persons = sorted({crop.person for crop in crops if crop.person > 0})
    if persons and persons[-1] > LARGEST:
        numbers = {person: number for number, person in enumerate(persons, 1)}
        benchmark = _renumber(
            benchmark,
            lambda number, part: numbers.get(number, number),
            f"Labels of persons have up to {len(str(persons[-1]))} digits: they {NUMBERED} from 1.",
        )
    cameras = sorted({crop.camera for crop in crops if crop.camera is not None})
    if cameras and cameras[-1] > LARGEST:
        places = {camera: number for number, camera in enumerate(cameras, 1)}
        benchmark = _change(
            replace(benchmark, camera_names={number: str(camera) for camera, number in places.items()}),
            lambda crop, part: crop if crop.camera is None else replace(crop, camera=places[crop.camera]),
            f"Labels of cameras have up to {len(str(cameras[-1]))} digits: they {NUMBERED} from 1.",
        )
    return benchmark


def _renumber(benchmark: Benchmark, number: Callable[[int, str], int], note: str) -> Benchmark:
    """Give persons other numbers; junk keeps its own."""
    named: dict[int, str] = {}

    def changed(crop: Crop, part: str) -> Crop:
        if crop.person == JUNK:
            return crop
        person = number(crop.person, part)
        if person > 0:
            named[person] = benchmark.names.get(crop.person, str(crop.person))
        return replace(crop, person=person)

    renumbered = _change(benchmark, changed, note)
    return replace(renumbered, names=named)


def _change(benchmark: Benchmark, change: Callable[[Crop, str], Crop], note: str) -> Benchmark:
    """Return the data set with all its crops changed, which depends on their part."""

    def changed(crops: Iterable[Crop], part: str) -> tuple[Crop, ...]:
        return tuple(change(crop, part) for crop in crops)

    return replace(
        benchmark,
        train=changed(benchmark.train, "train"),
        query=changed(benchmark.query, "query"),
        gallery=changed(benchmark.gallery, "gallery"),
        query_pool=changed(benchmark.query_pool, "query"),
        draws=tuple(
            Draw(changed(draw.query, "query"), changed(draw.gallery, "gallery")) for draw in benchmark.draws
        ),
        notes=(*benchmark.notes, note),
    )
