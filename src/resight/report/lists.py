"""Ranked lists: what a model puts first for its best, median and worst queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from resight.data.benchmark import Protocol
from resight.data.crop import Crop
from resight.evaluation.ranking import nearest
from resight.evaluation.scores import Scores
from resight.files import whole_file
from resight.imaging import read_image
from resight.training.testing import EmbeddedBenchmark

Kind = Literal["best", "median", "worst"]
KINDS: tuple[Kind, ...] = ("best", "median", "worst")

RIGHT, WRONG, INK, FAINT = "#12924f", "#d43c3c", "#1d2127", "#69717d"


@dataclass(frozen=True, slots=True)
class RankedCrop:
    """A gallery crop at its place in a ranked list.

    Attributes:
        crop: the gallery crop.
        score: its similarity to the query, or its distance, as the metric is.
        right: it shows the query's person.
    """

    crop: Crop
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class RankedList:
    """A query and the gallery crops nearest to it, those that the protocol ignores left out.

    Attributes:
        kind: why it is shown.
        query: the query crop.
        average_precision: of the whole list, in [0, 1].
        first_match: rank of the first right crop in the whole list, from 1.
        hits: the first ones, nearest first.
    """

    kind: Kind
    query: Crop
    average_precision: float
    first_match: int
    hits: tuple[RankedCrop, ...]


def choose_queries(
    average_precision: NDArray[np.float64], valid: NDArray[np.bool_], persons: NDArray[np.int64], count: int
) -> dict[Kind, list[int]]:
    """Return the rows of the best, median and worst queries by average precision, ``count`` of each at most.

    No query is shown twice, nor a person twice in a group; ties keep the queries' order.

    Args:
        average_precision, valid, persons: [Q]; queries that are not valid are never chosen.
    """
    order = [int(row) for row in np.argsort(-average_precision, kind="stable") if valid[row]]
    outwards = sorted(range(len(order)), key=lambda place: abs(place - (len(order) - 1) / 2))
    preferences: dict[Kind, Iterable[int]] = {
        "best": order,
        "worst": reversed(order),
        "median": [order[place] for place in outwards],
    }
    taken: set[int] = set()
    chosen: dict[Kind, list[int]] = {}
    for kind, rows in preferences.items():
        seen: dict[int, int] = {}
        for row in rows:
            if len(seen) == count:
                break
            if row not in taken:
                seen.setdefault(int(persons[row]), row)
        chosen[kind] = sorted(seen.values(), key=order.index)
        taken |= set(seen.values())
    return chosen


def ranked_lists(
    embedded: EmbeddedBenchmark, scores: Scores, protocol: Protocol, *, count: int = 3, hits: int = 10
) -> list[RankedList]:
    """Return ranked lists of the best, median and worst queries, in this order.

    Args:
        embedded: crops and features of query and gallery.
        scores: of the same features.
        protocol: the evaluation rule: what it ignores is left out.
        count: queries of each kind.
        hits: crops in each list.
    """
    per_query = scores.per_query
    chosen = choose_queries(
        per_query.average_precision.double().numpy(),
        per_query.valid.numpy(),
        embedded.query.persons.numpy(),
        count,
    )
    rows = [(kind, row) for kind in KINDS for row in chosen[kind]]
    indices, similarities = nearest(
        embedded.query, embedded.gallery, protocol, hits, metric=scores.metric, rows=[row for _, row in rows]
    )
    lists = []
    for (kind, row), places, values in zip(rows, indices.tolist(), similarities.tolist(), strict=True):
        query = embedded.query_crops[row]
        crops = [
            (embedded.gallery_crops[place], value)
            for place, value in zip(places, values, strict=True)
            if place >= 0
        ]
        lists.append(
            RankedList(
                kind,
                query,
                float(per_query.average_precision[row]),
                int(per_query.first_match_rank[row]),
                tuple(RankedCrop(crop, value, crop.person == query.person) for crop, value in crops),
            )
        )
    return lists


def ranked_lists_png(lists: Sequence[RankedList], path: Path, *, width: int = 80, scale: int = 2) -> None:
    """Draw ranked lists as a PNG file: query at the left, right crops in green, wrong ones in dashed red.

    Args:
        lists: one row each; at least one.
        path: file to write.
        width: of a crop, in points; it is twice as high.
        scale: pixels a point.
    """
    gap, edge, caption, first = 10, 3, 20, 26
    height = 2 * width
    longest = max(len(entry.hits) for entry in lists)
    left = 2 * gap + width
    size = (left + gap + longest * (width + gap), first + len(lists) * (height + caption + gap) + gap)
    sheet = Image.new("RGB", (size[0] * scale, size[1] * scale), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11 * scale)

    def write(x: float, y: float, text: str, colour: str) -> None:
        draw.text((x * scale, y * scale), text, colour, font, anchor="mm")

    write(gap + width / 2, first / 2, "query", INK)
    for place in range(longest):
        write(left + gap + place * (width + gap) + width / 2, first / 2, str(place + 1), FAINT)
    draw.line([(left * scale, 0), (left * scale, sheet.height)], "#d5d9df", scale)
    for row, entry in enumerate(lists):
        top = first + row * (height + caption + gap)
        crops = [(gap, entry.query, INK, _camera(entry.query))]
        for place, hit in enumerate(entry.hits):
            note = " · ".join(filter(None, [_camera(hit.crop), f"{hit.score:.2f}"]))
            crops.append((left + gap + place * (width + gap), hit.crop, RIGHT if hit.right else WRONG, note))
        for x, crop, colour, note in crops:
            picture = Image.fromarray(read_image(crop.path, (height * scale, width * scale)))
            sheet.paste(picture, (x * scale, top * scale))
            _frame(draw, x * scale, top * scale, width * scale, height * scale, edge * scale, colour)
            write(x + width / 2, top + height + caption / 2, note, colour)
    with whole_file(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _camera(crop: Crop) -> str:
    return "" if crop.camera is None else f"cam {crop.camera}"


def _frame(
    draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int, edge: int, colour: str
) -> None:
    """Draw a frame; dashed for wrong crops, so that nobody needs to tell red from green."""
    draw.rectangle((x, y, x + width - 1, y + height - 1), outline=colour, width=edge)
    if colour == WRONG:
        dash = 3 * edge
        for at in range(dash, height - dash, 2 * dash):
            draw.rectangle((x, y + at, x + edge - 1, y + at + dash), fill="white")
            draw.rectangle((x + width - edge, y + at, x + width - 1, y + at + dash), fill="white")
        for at in range(dash, width - dash, 2 * dash):
            draw.rectangle((x + at, y, x + at + dash, y + edge - 1), fill="white")
            draw.rectangle((x + at, y + height - edge, x + at + dash, y + height - 1), fill="white")
