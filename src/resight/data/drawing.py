"""Random splits and single-shot draws that never change: each choice is made by a hash of names and a seed.

So the same files give the same draw on every machine, with every version of a library, in every order of the
files, and a person's crops are drawn alike whoever else is in the set.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from resight.data.benchmark import Benchmark, Draw, Protocol
from resight.data.crop import Crop
from resight.errors import UserError
from resight.seeds import derive_seed

SINGLE_SHOT = Protocol("single-shot")
"""One query and one gallery crop a person, from different cameras."""


def draw_persons(persons: Iterable[int], number: int, *stream: int | str) -> set[int]:
    """Return that many of the persons, drawn at random from the stream that the words name.

    Raises:
        UserError: there are fewer persons.
    """
    everyone = sorted(set(persons), key=lambda person: derive_seed(*stream, person))
    if len(everyone) < number:
        raise UserError(
            f"{number} persons are to be drawn, but there are only {len(everyone)}: the set is not whole. "
            "Unpack its archive again, or draw fewer ('resight data readers' names the option)."
        )
    return set(everyone[:number])


def single_shot(benchmark: Benchmark, draws: int, seed: int) -> Benchmark:
    """Return the benchmark with drawn queries and galleries: one crop of each person in each.

    Of each person in the query part one crop is drawn, then one of its crops in the gallery part under
    another camera; a person without such a pair is left out and a note says so. Distractors stay in every
    gallery.

    Args:
        benchmark: query and gallery hold all that may be drawn; a crop may be in both.
        draws: how many.
        seed: of the draws; draw number n is the same however many there are.
    """
    queries, gallery = _by_person(benchmark.query), _by_person(benchmark.gallery)
    distractors = tuple(crop for crop in benchmark.gallery if crop.person == 0)
    paired = [
        person for person in queries if any(_elsewhere(gallery[person], crop) for crop in queries[person])
    ]
    made = []
    for number in range(draws):
        drawn, found = [], []
        for person in paired:
            may = [crop for crop in queries[person] if _elsewhere(gallery[person], crop)]
            drawn.append(_pick(may, benchmark, seed, "query", number))
            others = _elsewhere(gallery[person], drawn[-1])
            found.append(_pick(others, benchmark, seed, "gallery", number))
        made.append(Draw(tuple(drawn), (*found, *distractors)))
    notes = benchmark.notes
    if alone := len(queries) - len(paired):
        notes = (*notes, f"{alone} test persons are not seen by two cameras and are never drawn.")
    return replace(benchmark, draws=tuple(made), protocol=SINGLE_SHOT, notes=notes)


def _elsewhere(crops: Sequence[Crop], query: Crop) -> list[Crop]:
    """Return those of the crops that another camera took."""
    return [crop for crop in crops if crop.camera != query.camera]


def _pick(crops: Sequence[Crop], benchmark: Benchmark, *stream: int | str) -> Crop:
    return min(crops, key=lambda crop: derive_seed(*stream, benchmark.relative(crop.path)))


def _by_person(crops: Iterable[Crop]) -> dict[int, list[Crop]]:
    found: dict[int, list[Crop]] = defaultdict(list)
    for crop in crops:
        if crop.person > 0:
            found[crop.person].append(crop)
    return found
