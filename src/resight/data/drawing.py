"""Repeatable random splits and single-shot draws: each choice is a hash of names and a seed.

So the same files give the same draw on every machine, with every version of a library and in every order, and
a person's draws do not depend on the other persons.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from resight.data.benchmark import Benchmark, Draw, Protocol
from resight.data.crop import Crop
from resight.errors import UserError
from resight.seeds import derive_seed

SINGLE_SHOT = Protocol("single-shot")
"""One query and one gallery crop per person, from different cameras."""


def draw_persons(persons: Iterable[int], number: int, *stream: int | str) -> set[int]:
    """Return this many of the persons, drawn at random from the named stream.

    Raises:
        UserError: there are fewer persons.
    """
    everyone = sorted(set(persons), key=lambda person: derive_seed(*stream, person))
    if len(everyone) < number:
        raise UserError(
            f"{number} persons are needed, but there are only {len(everyone)}: the set is incomplete. "
            "Unpack its archive again, or draw fewer ('resight data readers' names the option)."
        )
    return set(everyone[:number])


def single_shot(benchmark: Benchmark, draws: int, seed: int) -> Benchmark:
    """Return the benchmark with drawn queries and galleries, each with one crop per person.

    For each person in the query part, one crop is drawn, then one in the gallery part from another camera;
    persons without such a pair are left out, with a note. Distractors stay in every gallery.

    Args:
        benchmark: query and gallery hold all crops that may be drawn; a crop may be in both.
        draws: number of draws.
        seed: of the draws; the n-th draw does not depend on their number.
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
    """Return the crops from other cameras."""
    return [crop for crop in crops if crop.camera != query.camera]


def _pick(crops: Sequence[Crop], benchmark: Benchmark, *stream: int | str) -> Crop:
    return min(crops, key=lambda crop: derive_seed(*stream, benchmark.relative(crop.path)))


def _by_person(crops: Iterable[Crop]) -> dict[int, list[Crop]]:
    found: dict[int, list[Crop]] = defaultdict(list)
    for crop in crops:
        if crop.person > 0:
            found[crop.person].append(crop)
    return found
