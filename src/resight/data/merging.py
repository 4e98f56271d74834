"""Several data sets merged into one for training, with distinct persons and cameras."""

from collections.abc import Sequence
from dataclasses import replace

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.errors import UserError


def merge(benchmarks: Sequence[Benchmark]) -> Benchmark:
    """Return the joined training parts, and the test part of the first set.

    Persons and cameras of each set continue the numbers of the set before, so that no two share a number.
    Persons are named ``SET/PERSON``. If one set has no cameras, none are kept.

    Args:
        benchmarks: two or more; the first one's query and gallery are tested on.

    Raises:
        UserError: two sets are the same folder.
    """
    roots = [benchmark.root.resolve() for benchmark in benchmarks]
    twice = next((root for root in roots if roots.count(root) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice: its persons would count twice. Name each data set once.")
    train: list[Crop] = []
    names: dict[int, str] = {}
    person_offset = camera_offset = 0
    notes = []
    for benchmark in benchmarks:
        everything = (*benchmark.train, *benchmark.query, *benchmark.gallery)
        for crop in everything:
            if crop.person > 0:
                own = benchmark.names.get(crop.person, str(crop.person))
                names[crop.person + person_offset] = f"{benchmark.name}/{own}"
        train += (
            replace(
                crop,
                person=crop.person + person_offset,
                camera=None if crop.camera is None else crop.camera + camera_offset,
            )
            for crop in benchmark.train
        )
        persons = len({crop.person for crop in benchmark.train})
        notes += [f"{benchmark.name}: {note}" for note in benchmark.notes]
        notes.append(f"{benchmark.name}: {len(benchmark.train)} crops of {persons} persons to train on.")
        person_offset += max((crop.person for crop in everything), default=0)
        camera_offset += max((crop.camera for crop in everything if crop.camera is not None), default=0) + 1
    if any(crop.camera is None for crop in train):
        train = [replace(crop, camera=None) for crop in train]
    first = benchmarks[0]
    if first.query:
        notes.append(f"The test is that of {first.name}.")
    return replace(
        first,
        name="+".join(benchmark.name for benchmark in benchmarks),
        train=tuple(train),
        names=names,
        published=None,
        notes=tuple(notes),
    )
