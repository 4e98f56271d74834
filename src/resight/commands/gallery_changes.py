"""``resight gallery``: forget, correct and rename."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from resight.commands import gallery_output as output
from resight.commands.gallery_crops import EVERYTHING, FilterOptions
from resight.commands.gallery_upkeep import compact_with_bar
from resight.commands.options import Flag, GalleryPlace, Json, Words
from resight.commands.output import print_json, show
from resight.errors import UserError

BATCH = 10_000
"""Crops that are corrected at a time."""


def forget(
    *,
    gallery: GalleryPlace,
    crop: Words = None,
    which: FilterOptions = EVERYTHING,
    expired: Flag = False,
    keep_days: float | None = None,
    dry_run: Flag = False,
    yes: Flag = False,
    compact: bool = True,
    json: Json = False,
) -> None:
    """Delete crops and their pictures permanently, or set the retention period.

    The command shows the crops of each camera with their first and last time, and asks before it deletes
    them. Afterwards the gallery is compacted ('resight gallery compact'), which removes the vectors and names
    of the deleted crops from its files. 'resight gallery add' does not add the same pictures again, unless
    with --add-again.

    Args:
        crop: id of a crop; may be repeated.
        expired: delete crops older than the retention period. Other commands that open the gallery do so.
        keep_days: set the retention period to this many days, and delete older crops; 0 keeps crops forever.
        dry_run: only show what would be deleted.
        yes: delete without a question; needed without a terminal, and with --json.
        compact: with --no-compact, traces stay in the gallery's files until 'resight gallery compact' runs.
    """
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery
    from resight.gallery.metadata import check_days

    selected = crop or which != EVERYTHING
    if sum(map(bool, (selected, expired, keep_days is not None))) != 1:
        raise UserError(
            "Give exactly one of: options that select crops (--before, --camera, --person, --source, --crop, "
            "...), --expired, --keep-days."
        )
    check_days(keep_days or None)
    where: Filter | None
    with Gallery.open(gallery, expire=False) as opened:
        if selected:
            where = which.filter(tuple(crop or ()))
            opened.check_filter(where)
        else:
            where = opened.expired(keep_days)
        cameras = [] if where is None else [row.as_dict() for row in opened.by_camera(where)]
        count = sum(row["crops"] for row in cameras)
        if not json and (dry_run or not yes):
            output.print_cameras(cameras, which.zone)
        if not dry_run:
            if count and not yes:
                _ask_to_delete(cameras, json)
            if keep_days is not None:
                opened.keep_for(keep_days or None)
            count = 0 if where is None else opened.forget(where)
            if compact and opened.metadata.traces:
                compact_with_bar(opened)
        left, traces = len(opened), opened.metadata.traces
    if json:
        found = {"forgotten": 0 if dry_run else count, "found": count, "cameras": cameras}
        print_json({"gallery": gallery, **found, "crops": left, "traces": traces})
    elif dry_run:
        print(f"{count:,} of {left:,} crops would be deleted.")
    else:
        print(f"Deleted {count:,} crops; {left:,} are left in {gallery}.")
        if traces:
            print(output.traces_note(gallery))


def correct(
    *,
    gallery: GalleryPlace,
    crop: Words = None,
    which: FilterOptions = EVERYTHING,
    set_camera: str | None = None,
    set_time: str | None = None,
    shift_time: float | None = None,
    set_person: str | None = None,
    add_tag: Words = None,
    remove_tag: Words = None,
    dry_run: Flag = False,
    json: Json = False,
) -> None:
    """Correct camera, time, person or tags of stored crops.

    Args:
        crop: id of a crop; may be repeated.
        set_camera: camera that took the crops; '' if it is not known.
        set_time: when the crops were taken, such as 2024-05-31T14:30; '' if it is not known.
        shift_time: seconds to add to the crops' times, such as -3600 for a clock that was an hour fast.
        set_person: label of the crops; '' removes it. 'resight gallery rename' names a person anew.
        add_tag: tag to add; may be repeated.
        remove_tag: tag to remove; may be repeated.
        dry_run: only show which crops would be corrected.
    """
    from resight.gallery.gallery import Gallery
    from resight.timestamps import parse_time

    time = parse_time(set_time, which.zone) if set_time else None
    values = (set_camera, set_time, shift_time, set_person, add_tag, remove_tag)
    if all(value is None for value in values):
        raise UserError(
            "Say what to correct: --set-camera, --set-time, --shift-time, --set-person, --add-tag or "
            "--remove-tag."
        )
    if set_time is not None and shift_time is not None:
        raise UserError("Give --set-time or --shift-time, not both.")
    if not crop and which == EVERYTHING:
        raise UserError("Say which crops to correct: --camera, --source, --person, --after, --crop, ...")
    with Gallery.open(gallery) as opened:
        where = which.filter(tuple(crop or ()))
        opened.check_filter(where)
        cameras = [row.as_dict() for row in opened.by_camera(where)]
        ids = [one.id for one in opened.crops(where)]
        for first in range(0, 0 if dry_run else len(ids), BATCH):
            some = ids[first : first + BATCH]
            if set_time is not None:
                opened.set_time(some, time)
            if shift_time is not None:
                opened.shift_time(some, shift_time)
            if set_person is not None:
                opened.label(some, set_person.strip() or None)
            if add_tag or remove_tag:
                opened.change_tags(some, add_tag or (), remove_tag or ())
            if set_camera is not None:
                opened.set_camera(some, set_camera.strip() or None)
        expired = opened.expired()
        output.warn_of_expired(0 if expired is None else opened.count(expired), opened)
        traces = opened.metadata.traces
    if json:
        found = {"corrected": 0 if dry_run else len(ids), "found": len(ids), "cameras": cameras}
        print_json({"gallery": gallery, **found, "traces": traces})
        return
    if dry_run:
        output.print_cameras(cameras, which.zone)
    print(f"{'Would correct' if dry_run else 'Corrected'} {len(ids):,} crops.")


def rename(person: str, name: str, *, gallery: GalleryPlace, merge: Flag = False, json: Json = False) -> None:
    """Give a person another name, in the labels of all crops.

    Args:
        person: present name.
        name: new name.
        merge: allow that crops of a person with the new name exist: the two become one.
    """
    from resight.gallery.corrections import NameTaken
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        try:
            count = opened.rename(person, name, merge=merge)
        except NameTaken as error:
            raise UserError(
                f"{error} If '{person}' is somebody else, choose another name. To merge the two: --merge."
            ) from error
    if json:
        print_json({"gallery": gallery, "person": name, "crops": count})
    else:
        show(f"'{person}' is now '{name}', in {count:,} crops.")


def _ask_to_delete(cameras: Sequence[Mapping[str, Any]], json: bool) -> None:
    """Ask whether to delete these crops of cameras.

    Raises:
        UserError: the answer is not yes, or nobody can be asked.
    """
    crops = f"{sum(row['crops'] for row in cameras):,} crops"
    if json or not sys.stdin.isatty():
        named = ", ".join(f"camera {row['camera'] or 'unknown'}: {row['crops']:,}" for row in cameras[:5])
        raise UserError(
            f"{crops} would be deleted ({named}{', ...' if len(cameras) > 5 else ''}). Nobody can be asked "
            f"{'with --json' if json else 'without a terminal'}: give --yes to delete them, or --dry-run to "
            "see them."
        )
    try:
        answer = input(f"Delete these {crops} permanently? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("Nothing was deleted.")
