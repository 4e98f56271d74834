"""``resight synthesize``: draw synthetic pedestrians."""

from pathlib import Path

from resight.interruption import SAME_COMMAND, resumable


@resumable(SAME_COMMAND)
def synthesize(
    out: Path,
    /,
    *,
    persons: int = 300,
    cameras: int = 6,
    crops: int = 4,
    test_persons: int | None = None,
    height: int = 256,
    seed: int = 0,
    processes: int | None = None,
    json: bool = False,
) -> None:
    """Draw synthetic pedestrians seen by several cameras, in Market-1501's layout.

    An interrupted set is finished by the same command.

    Parameters
    ----------
    out
        An empty or new folder, or one where the same set was begun.
    persons
        Number of persons, train and test together.
    cameras
        Number of cameras; every person passes each of them.
    crops
        Crops of each person in each camera.
    test_persons
        How many of the persons become query and gallery; by default a third. The number of training
        persons must be a multiple of five, because people come in families of five look-alikes.
    height
        Height of a crop in pixels; it is half as wide.
    seed
        Another seed draws other people and other cameras.
    processes
        Processes that draw; by default one for each core. The files do not depend on it.
    json
        Print the counts as JSON.
    """
    from dataclasses import asdict

    from resight.commands.output import print_json, print_table
    from resight.people.generate import synthesize as generate

    made = generate(
        out,
        persons=persons,
        cameras=cameras,
        crops=crops,
        test_persons=test_persons,
        seed=seed,
        processes=processes,
        height=height,
    )
    if json:
        print_json({**asdict(made), "folder": str(made.folder), "seconds": round(made.seconds, 3)})
        return
    rows = [
        ("train", made.train_persons, made.train),
        ("query", made.test_persons, made.query),
        ("gallery", made.test_persons, made.gallery),
        ("gallery, junk (-1)", "", made.junk),
        ("gallery, distractors (0000)", "", made.distractors),
    ]
    print_table(("split", "persons", "crops"), rows, title=str(made.folder))
    pace = f" ({made.drawn / made.seconds:.0f} crops/s)" if made.drawn else ""
    print(f"{made.drawn} crops drawn in {made.seconds:.1f} s{pace}.")
