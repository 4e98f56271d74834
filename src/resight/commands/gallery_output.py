"""Output of ``resight gallery``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from resight.commands.output import print_table, show
from resight.left_out import LeftOut
from resight.names import printable
from resight.progress import say
from resight.timestamps import show_time

if TYPE_CHECKING:
    from resight.gallery.adding import Added
    from resight.gallery.catalogue import Catalogue
    from resight.gallery.crops import StoredCrop
    from resight.gallery.metadata import Calibration
    from resight.gallery.searching import SearchResult

SHOWN_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def traces_note(gallery: str) -> str:
    """Return the sentence that says how to remove traces of deleted crops."""
    return (
        "The gallery's files still contain traces of deleted crops. Remove these: resight gallery compact "
        f"--gallery {gallery}"
    )


def count_left_out(added: "Added", left_out: LeftOut) -> None:
    """Count the crops that were not added because they cannot be read, or were deleted."""
    for name, reason in added.refused:
        left_out.add_unreadable(name, reason)
    for name in added.erased:
        left_out.add("a picture that was deleted from the gallery (--add-again adds it)", name)


def warn_of_expired(count: int, gallery: "Catalogue") -> None:
    """Say that crops are older than the retention period, if there are any."""
    if count:
        say(
            f"Warning: {count:,} of these crops are older than {gallery.metadata.forget_after_days:g} days, "
            "the gallery's retention period. The next command that opens it will delete them. To keep them, "
            f"first run: resight gallery forget --gallery {gallery.place} --keep-days DAYS (0: forever)"
        )


def count_differences(added: "Added") -> list[dict[str, Any]]:
    """Return, for each field, how many crops are in the gallery with another value, and the first example."""
    first = {one.field: one for one in reversed(added.differences)}
    counts = Counter(one.field for one in added.differences)
    return [
        {"field": field, "count": count, "example": f"{first[field].name}: {first[field].describe()}"}
        for field, count in counts.items()
    ]


def print_differences(added: "Added", updated: bool) -> None:
    """Print which fields of crops that were already in the gallery differ, or were updated."""
    rows = [[row["field"], f"{row['count']:,}", row["example"]] for row in count_differences(added)]
    if rows:
        print_table(["Updated" if updated else "Differs", "Count", "First example"], rows)
        if not updated:
            print("To store the new values, run the command again with --update.")


def print_found(found: "SearchResult", gallery: str, zone: tzinfo | None = None) -> None:
    """Print matches as a table, with times in a zone (None: the default zone), and explanations."""
    if not found.matches and found.searched and found.offset:
        show(f"There is no such page: only {found.searched:,} crops in {gallery} match the filter.")
        return
    if not found.matches:
        show(f"Nothing found: {found.searched:,} crops in {gallery} match the filter.")
        return
    rows = [
        [
            str(found.offset + place),
            f"{match.score:.3f}",
            {True: "likely", False: "", None: ""}[match.likely],
            match.crop.camera or "-",
            "-" if match.crop.time is None else show_time(match.crop.time, zone, match.crop.time_guessed),
            match.crop.person or "-",
            match.crop.id,
            match.crop.name or match.crop.source,
        ]
        for place, match in enumerate(found.matches, 1)
    ]
    show(sheet_title(gallery, found))
    _print_lines(["", "Score", "", "Camera", "Time", "Person", "Id", "Name"], rows)
    print(threshold_line(found))
    if any(match.crop.time_guessed for match in found.matches):
        print("Times after ~ are guesses.")
    if any(match.reranked is not None for match in found.matches):
        print("Sorted by re-ranking, which also compares the crops' neighbours, so not by score.")
    if found.outlier:
        print("The picture is unlike the gallery's crops. Does it show one upright person, cropped closely?")


def print_crops(crops: Sequence["StoredCrop"], count: int, zone: tzinfo) -> None:
    """Print stored crops, and how many there are in all."""
    rows = [
        [
            crop.id,
            crop.camera or "-",
            "-" if crop.time is None else show_time(crop.time, zone, crop.time_guessed),
            crop.person or "-",
            ", ".join(crop.tags) or "-",
            crop.name or crop.source,
        ]
        for crop in crops
    ]
    if rows:
        _print_lines(["Id", "Camera", "Time", "Person", "Tags", "Name"], rows)
    print(f"{len(rows):,} of {count:,} crops.")


def sheet_title(gallery: str, found: "SearchResult") -> str:
    """Return a line about what was searched."""
    how = "exact search" if found.exact else "approximate search"
    means = ", without the cameras' means" if found.camera_normalise else ""
    return f"{gallery}: {found.searched:,} crops, {how}{means}"


def threshold_line(found: "SearchResult") -> str:
    """Return a line about which matches are likely."""
    if found.threshold is None or found.false_match_rate is None or found.expected_false is None:
        return "The gallery is not calibrated, so likely matches are not marked."
    return (
        f"Likely: a score of {1 - found.threshold:.3f} or more, at a false-match rate of "
        f"{found.false_match_rate:.2g}. About {_about(found.expected_false)} of {found.searched:,} crops "
        "reach it by chance."
    )


def print_info(facts: Mapping[str, Any], zone: tzinfo | None = None) -> None:
    """Print what is in a gallery, with times in a zone (None: the default zone)."""
    model = facts["model"]
    size = "" if facts["bytes"] is None else f", {facts['bytes'] / 1e6:,.0f} MB"
    days = facts["forget_after_days"]
    cameras = sum(row["camera"] is not None for row in facts["cameras"])
    calibration, labelled = facts["calibration"], "no"
    if calibration is not None:
        counts = f"{calibration['crops']:,} crops of {calibration['persons']:,} persons"
        labelled = f"on {counts} ({calibration['origin']})"
    graph = (
        f"graph of {facts['indexed']:,} crops"
        if facts["indexed"]
        else f"all crops in 4 bits, the best of them in float32; a graph above {facts['graph_from']:,} crops"
    )
    rows = [
        ["Crops", f"{facts['crops']:,}{size}"],
        ["Labelled", f"{facts['labelled']:,} crops of {facts['persons']:,} persons"],
        ["Model", f"{model['name']}, {model['width']:,} numbers, fingerprint {model['fingerprint']}"],
        ["Loaded from", model["weights"] or "not known"],
        ["Search", graph],
        ["Kept", "forever" if days is None else f"for {days:g} days"],
        ["Calibrated", labelled],
        ["Cameras' means", cameras_line(facts["camera_normalise"], cameras, facts["crops"])],
        ["Created", show_time(datetime.fromisoformat(facts["created"]), zone)],
    ]
    if facts["traces"]:
        rows.append(["Deleted", traces_note(facts["gallery"])])
    if facts["reembedding"] is not None:
        rows.append(["Unfinished", f"re-embedding with {facts['reembedding']['model']['name']}; rerun it"])
    print_table([facts["gallery"], ""], rows)
    print_cameras(facts["cameras"], zone)


def print_cameras(cameras: Sequence[Mapping[str, Any]], zone: tzinfo | None = None) -> None:
    """Print the crops of each camera with their first and last time; nothing if there are none."""

    def shown(time: str | None) -> str:
        return "-" if time is None else show_time(datetime.fromisoformat(time), zone)

    rows = [
        [
            row["camera"] or "not known",
            f"{row['crops']:,}",
            shown(row["first"]),
            shown(row["last"]),
        ]
        for row in cameras
    ]
    if rows:
        print_table(["Camera", "Crops", "First", "Last"], rows)


def cameras_line(found: Mapping[str, Any], cameras: int, crops: int) -> str:
    """Return whether cameras' means are removed, and which cameras have few crops."""
    from resight.gallery.cameras import MIN_CROPS

    if not found["on"]:
        return "kept, as the gallery's settings say"
    if not found["active"]:
        there = f"{cameras:,} {'camera' if cameras == 1 else 'cameras'} and {crops:,} crops"
        return f"kept: {there} are too few (removed from 2 cameras and {MIN_CROPS} crops on)"
    line = f"removed from the vectors of all {cameras:,} cameras"
    for key, why in (
        ("too_few", "have few crops, so mostly the overall mean is subtracted"),
        ("trained", "are cameras that the model was trained on, so only the overall mean is subtracted"),
    ):
        if names := found[key]:
            named = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            line += f"; {len(names):,} {why}: {named}"
    return line


def print_calibration(calibration: "Calibration") -> None:
    """Print thresholds."""
    rows: list[list[str]] = []
    for target in SHOWN_RATES:
        fitting = [rate for rate in calibration.rates if rate.false_match_rate <= target]
        if fitting:
            found = fitting[-1]
            rows.append(
                [
                    f"{found.false_match_rate:.1e}",
                    f"{1 - found.threshold:.3f}",
                    f"{100 * found.matches_found:.1f}",
                ]
            )
    title = (
        f"Calibrated on {calibration.crops:,} crops of {calibration.persons:,} persons ({calibration.origin})"
    )
    print_table(["False matches", "Score", "Matches found %"], rows, title=title)
    checked = calibration.checked
    print(
        f"Check: the threshold for a rate of {calibration.target:.2g}, chosen on half of the persons, has a "
        f"rate of {checked.false_match_rate:.2g} on the other half, and finds "
        f"{100 * checked.matches_found:.1f} % of their matches."
    )


def _print_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows without wrapping, so that ids can be copied."""
    lines = [columns, *(list(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _about(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1g}"
