"""What ``resight gallery`` prints for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resight.commands.output import print_table
from resight.timestamps import show_time

if TYPE_CHECKING:
    from resight.gallery.metadata import Calibration
    from resight.gallery.searching import Found

SHOWN_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def print_added(told: Mapping[str, Any], gallery: str, total: int) -> None:
    """Print what became of crops."""
    left_out = len(told["refused"])
    parts = [f"{told['new']:,} crops added"]
    parts += [f"{told['known']:,} were there already"] if told["known"] else []
    parts += [f"{left_out:,} left out, as they cannot be read"] if left_out else []
    print(f"{', '.join(parts)}. {gallery} holds {total:,}.")


def print_found(found: "Found", gallery: str) -> None:
    """Print matches as a table, and what to think of them."""
    if not found.matches and found.searched and found.offset:
        print(f"There is no such page: {gallery} has {found.searched:,} crops that fit.")
        return
    if not found.matches:
        print(f"Nothing in {gallery} fits: {found.searched:,} crops were searched.")
        return
    rows = [
        [
            str(found.offset + place),
            f"{match.score:.3f}",
            {True: "likely", False: "", None: ""}[match.likely],
            match.crop.camera or "-",
            "-" if match.crop.time is None else show_time(match.crop.time),
            match.crop.person or "-",
            match.crop.id,
            match.crop.name or match.crop.source,
        ]
        for place, match in enumerate(found.matches, 1)
    ]
    print(sheet_title(gallery, found))
    _print_lines(["", "Score", "", "Camera", "Time", "Person", "Id", "Name"], rows)
    print(threshold_line(found))
    if any(match.reranked is not None for match in found.matches):
        print("In the order of re-ranking: by the crops that both have near them, too, not by score alone.")
    if found.unlike_anything:
        print(
            "The picture is unlike the gallery's crops: does it show a person, cut out closely and upright?"
        )


def sheet_title(gallery: str, found: "Found") -> str:
    """Return a line on what was searched."""
    how = "exact search" if found.exact else "approximate search"
    return f"{gallery}: {found.searched:,} crops, {how}"


def threshold_line(found: "Found") -> str:
    """Return a line on what a likely match is."""
    if found.threshold is None or found.false_match_rate is None or found.expected_false is None:
        return "Which of these are likely matches is not known: the gallery is not calibrated."
    return (
        f"Likely: scores of {1 - found.threshold:.3f} and more, for a false-match rate of "
        f"{found.false_match_rate:.2g}: among {found.searched:,} crops, about "
        f"{_about(found.expected_false)} of other persons."
    )


def print_info(told: Mapping[str, Any]) -> None:
    """Print what is in a gallery."""
    model = told["model"]
    size = "" if told["bytes"] is None else f", {told['bytes'] / 1e6:,.0f} MB"
    days = told["forget_after_days"]
    calibration, labelled = told["calibration"], "no"
    if calibration is not None:
        counts = f"{calibration['crops']:,} crops of {calibration['persons']:,} persons"
        labelled = f"on {counts} ({calibration['origin']})"
    graph = (
        f"{told['indexed']:,} crops under a graph"
        if told["indexed"]
        else f"each crop compared (a graph from {told['graph_from']:,} crops on)"
    )
    rows = [
        ["Crops", f"{told['crops']:,}{size}"],
        ["Labelled", f"{told['labelled']:,} crops of {told['persons']:,} persons"],
        ["Model", f"{model['name']}, {model['width']:,} numbers, fingerprint {model['fingerprint']}"],
        ["Loaded from", model["weights"] or "not known"],
        ["Search", graph],
        ["Kept", "for good" if days is None else f"for {days:g} days"],
        ["Calibrated", labelled],
        ["Made", show_time(datetime.fromisoformat(told["created"]))],
    ]
    if told["reembedding"] is not None:
        rows.append(["Under way", f"re-embedding by {told['reembedding']['model']['name']}: run it again"])
    print_table([told["gallery"], ""], rows)
    if told["cameras"]:
        times = [
            [show_time(datetime.fromisoformat(row[end])) if row[end] else "-" for end in ("first", "last")]
            for row in told["cameras"]
        ]
        cameras = [
            [row["camera"], f"{row['crops']:,}", *ends]
            for row, ends in zip(told["cameras"], times, strict=True)
        ]
        print_table(["Camera", "Crops", "First", "Last"], cameras)


def print_calibration(calibration: "Calibration") -> None:
    """Print thresholds."""
    rows: list[list[str]] = []
    for wished in SHOWN_RATES:
        fitting = [rate for rate in calibration.rates if rate.false_match_rate <= wished]
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
        f"A threshold for a rate of {calibration.wished:.2g}, chosen on half of the persons, has on the "
        f"other half {checked.false_match_rate:.2g} false matches, and finds "
        f"{100 * checked.matches_found:.1f} % of the matches."
    )


def _print_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as long as they are: an id that is folded cannot be copied."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _about(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1g}"
