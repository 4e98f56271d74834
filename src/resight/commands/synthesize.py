"""``resight synthesize``: draw synthetic pedestrians."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from resight.commands.options import Flag, Json
from resight.interruption import SAME_COMMAND, resumable


@resumable(SAME_COMMAND)
def synthesize(
    out: Path,
    /,
    *,
    persons: int = 300,
    cameras: int = 6,
    cameras_per_person: int | None = None,
    crops: int = 4,
    test_persons: int | None = None,
    height: int = 256,
    seed: int = 0,
    processes: int | None = None,
    factors: Annotated[Sequence[str], Parameter(name="--factor", negative="")] = (),
    on_the_fly: Flag = False,
    json: Json = False,
) -> None:
    """Draw synthetic pedestrians seen by several cameras, in Market-1501's layout.

    If the command is interrupted, run it again to resume. With --on-the-fly nothing is drawn now: 'resight
    train' draws each crop when it needs it, without end, and sees it four times.

    Args:
        out: a new or empty folder, or one with an unfinished set of the same settings.
        persons: number of persons, for training and testing together.
        cameras: number of cameras.
        cameras_per_person: number of cameras that each person passes, chosen at random; by default all.
        crops: number of crops of each person by each camera that it passes.
        test_persons: number of persons for query and gallery; by default a third. The number of training
            persons must be a multiple of five, because people come in groups of five look-alikes.
        height: of a crop, in pixels; the width is half the height.
        seed: another seed draws other people and other cameras.
        processes: number of processes; by default one per core. The files do not depend on it.
        factors: draws something nearer to surveillance cameras' crops: NAME or NAME=STRENGTH, from 0 to 1;
            all names every factor, and later ones win. May be repeated. The names are boxes,
            closeness, tone, focus, colours, light, codec, noise, lens, scenes, clutter, tones, bodies, hair,
            clothes, cloth, carried, poses and look_alikes.
        on_the_fly: write the settings alone. All persons are for training; --crops, --processes and --height
            (the recipe's is drawn) have no effect.
    """
    from dataclasses import asdict

    from resight.commands.output import print_json, print_table
    from resight.errors import UserError
    from resight.people.factors import read_factors
    from resight.people.generate import synthesize as generate
    from resight.people.on_the_fly import write_drawing
    from resight.people.plan import check
    from resight.program import command_line

    if on_the_fly:
        if test_persons:
            raise UserError("A test needs crops that stay: leave --test-persons or --on-the-fly out.")
        settings = check(persons, cameras, 1, 0, seed, height, read_factors(factors), cameras_per_person)
        write_drawing(out, settings)
        epoch = persons * (cameras_per_person or cameras)
        if json:
            print_json({"folder": str(out), "persons": persons, "cameras": cameras, "crops_an_epoch": epoch})
        else:
            print(
                f"{out}: {persons:,} persons, {cameras:,} cameras, {epoch:,} crops an epoch. To train on it:"
            )
            print(f"  {command_line('train', 'drawn-people', '--data', str(out))}")
        return
    made = generate(
        out,
        persons=persons,
        cameras=cameras,
        cameras_per_person=cameras_per_person,
        crops=crops,
        test_persons=test_persons,
        seed=seed,
        processes=processes,
        height=height,
        factors=factors,
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
