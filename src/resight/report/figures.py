"""The papers' figures of a model, or of two beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.errors import UserError
from resight.evaluation.features import Metric
from resight.evaluation.scores import Scores
from resight.imaging import Pixels, read_image, resize
from resight.inference.loading import LoadedModel
from resight.models.network import Network
from resight.models.sal import SAL
from resight.report.attention import Point, View, attention_views, represent
from resight.report.lists import Kind, RankedList
from resight.report.masks import CERTAIN, first_masks, mask_views
from resight.report.projection import Projection, project
from resight.report.reference_points import POINTS, Weights, point_views
from resight.report.sheets import HEIGHT, PictureRow, PictureSheet
from resight.training.testing import EmbeddedBenchmark

NAMES = ("attention", "points", "masks", "lists", "tsne")
"""Names of the figures' files."""

METRIC_NAMES: dict[Metric, str] = {"cosine": "cosine similarity", "euclidean": "Euclidean distance"}


@dataclass(frozen=True, slots=True)
class ExplanationChoices:
    """What to show.

    Attributes:
        each: number of the best, of the median and of the worst queries of the first model.
        crops: names or paths of the queries to show instead.
        points: reference points; none: four from head to feet.
        related: number of positions to mark that a reference point attends to most.
        hits: gallery crops in a ranked list.
        persons: number of persons in t-SNE.
        metric: of ranking and t-SNE.
    """

    each: int = 2
    crops: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    related: int = 5
    hits: int = 10
    persons: int = 20
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        for name in ("each", "related", "hits", "persons"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be 1 or more; got {getattr(self, name)}.")
        for x, y in self.points:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise UserError(
                    f"The reference point {x:g},{y:g} is outside the picture. Give fractions of its width "
                    "and height from the upper left corner, each from 0 to 1, such as 0.5,0.35."
                )


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, its name in the figures, and the test part embedded by it."""

    name: str
    model: LoadedModel
    embedded: EmbeddedBenchmark
    scores: Scores


@dataclass(frozen=True, slots=True)
class ExplanationFigure:
    """One figure.

    Attributes:
        name: of its files.
        title, caption: what it shows, and how to read it.
        content: its pictures or points.
    """

    name: str
    title: str
    caption: str
    content: PictureSheet | Projection


@dataclass(frozen=True, slots=True)
class Shown:
    """The crops of the sheets, and the networks that look at them.

    Attributes:
        labels: of each crop.
        pixels: uint8 [N, H, W, 3] at the networks' input size.
        drawn: the same at the size of the pictures.
        networks: by name.
    """

    labels: tuple[str, ...]
    pixels: Pixels
    drawn: Pixels
    networks: Mapping[str, Network]

    @classmethod
    def of(cls, subjects: Sequence[Subject], crops: Sequence[tuple[Kind, Crop]]) -> "Shown | None":
        """Read the crops for subjects of one architecture; None if they return only vectors."""
        networks = {subject.name: subject.model.network for subject in subjects}
        known = {name: network for name, network in networks.items() if isinstance(network, Network)}
        if len(known) < len(networks):
            return None
        (height, width), how = subjects[0].model.network.input_size, subjects[0].model.resizing
        pictures = [read_image(crop.path) for _, crop in crops]
        pixels, drawn = (
            np.stack([resize(picture, size, how) for picture in pictures])
            for size in ((height, width), (HEIGHT, round(HEIGHT * width / height)))
        )
        of = f"\nof {subjects[0].name}" if len(subjects) > 1 else ""
        labels = tuple(kind if kind == "chosen" else kind + of for kind, _ in crops)
        return cls(labels, pixels, drawn, known)

    @property
    def lack(self) -> str:
        """The start of a sentence about what the networks do not have."""
        return f"{' and '.join(self.networks)} {'has' if len(self.networks) == 1 else 'have'} no"

    def sheet(self, views: Mapping[str, Sequence[Sequence[View]]]) -> PictureSheet:
        """Return a sheet with a row for each crop: the crop, then each network's views of it.

        Args:
            views: name of a network -> views of each crop; none, or the same number for each.
        """
        parts = {name: own for name, own in views.items() if own and own[0]}
        rows = [
            PictureRow(
                label, number, (View("crop", crop), *(view for own in parts.values() for view in own[number]))
            )
            for number, (label, crop) in enumerate(zip(self.labels, self.drawn, strict=True))
        ]
        spans = [(name if len(self.networks) > 1 else "", len(own[0])) for name, own in parts.items()]
        return PictureSheet(tuple(rows), (("", 1), *spans))


def figure_of_maps(shown: Shown) -> ExplanationFigure | str:
    """Return the regions and maps of each network, or why there are none (SAL, Fig. 3; HAN, Fig. 7)."""
    maps = {}
    for name, network in shown.networks.items():
        views = attention_views(network, shown.pixels, shown.drawn)
        maps[name] = _with_constraint(network, shown.pixels, views) if isinstance(network, SAL) else views
    found = [view for own in maps.values() for row in own for view in row]
    if not found:
        return f"Attention: {shown.lack} soft or hard attention."
    parts = []
    if any(view.boxes for view in found):
        parts.append("Boxes: the regions that hard attention cuts out, in red, blue, green and violet.")
    if any(not view.boxes for view in found):
        parts.append(
            "Heat: from dark blue (lowest) to yellow (highest), each map on its own scale; its range is "
            "below. In a nearly flat map, the colours exaggerate."
        )
    if any("SAC" in view.note for view in found):
        parts.append("SAC: how far the maps differ (Eq. 2); 0 if they are equal.")
    return ExplanationFigure("attention", "Attention", " ".join(parts), shown.sheet(maps))


def figure_of_points(
    shown: Shown, weights: Mapping[tuple[str, str], Weights], choices: ExplanationChoices
) -> ExplanationFigure | str:
    """Return what the reference points attend to, or why there are none (SONA, Fig. 3).

    Raises:
        UserError: points were chosen, and there is no attention between positions.
    """
    if not weights:
        reason = f"{shown.lack} second-order or non-local attention"
        if choices.points:
            raise UserError(
                f"{reason}, so there is nothing that a reference point attends to. Leave --point out."
            )
        return f"Reference points: {reason}."
    views: dict[str, list[list[View]]] = {name: [[] for _ in shown.labels] for name in shown.networks}
    for (name, place), values in weights.items():
        found = point_views(place, values, shown.drawn, choices.points or POINTS, choices.related)
        for own, more in zip(views[name], found, strict=True):
            own += more
    caption = (
        f"Green: the reference point. Red: the {choices.related} positions that it attends to most. Heat: "
        "how much it attends to each position, from dark blue (least) to yellow (most); below, the range as "
        "multiples of uniform attention. In a nearly flat map, the colours exaggerate."
    )
    return ExplanationFigure("points", "Reference points", caption, shown.sheet(views))


def figure_of_masks(shown: Shown) -> ExplanationFigure | str:
    """Return features before and after the first masks, or why there are none (Sharp, Figs. 2 and 6)."""
    masked = {
        name: first_masks(network, shown.pixels, gate=len(shown.networks) == 1)
        for name, network in shown.networks.items()
    }
    found = {name: value for name, value in masked.items() if value is not None}
    if not found:
        return f"Masked features: {shown.lack} sharp attention."
    one = next(iter(found.values()))
    soft = (
        " The soft mask is what a sigmoid of the same features gives; it was not trained."
        if one.gated
        else ""
    )
    decided = "; ".join(
        f"{name}: {value.decided()}" if len(found) > 1 else value.decided() for name, value in found.items()
    )
    caption = (
        f"Features of {one.place}, raw and under each mask: means over the channels, from dark blue (lowest) "
        "to yellow (highest), each on its own scale. Then one channel of each mask, the most varied one, "
        f"from blue (0) to yellow (1).{soft} Mask values within {CERTAIN:g} of 0 or 1: {decided}."
    )
    views = {name: mask_views(value, shown.drawn) for name, value in found.items()}
    return ExplanationFigure("masks", "Masked features", caption, shown.sheet(views))


def _with_constraint(network: Network, pixels: Pixels, views: Sequence[Sequence[View]]) -> list[list[View]]:
    """Add SAL's constraint on each crop (Eq. 2) to the note of its last map."""
    maps = list(represent(network, pixels).attention.values())
    apart = torch.stack([(maps[-1] - other).square().sum((1, 2)) for other in maps[:-1]]).sum(0).tolist()
    return [
        [*own[:-1], replace(own[-1], note=f"{own[-1].note}\nSAC {value:.2f}")]
        for own, value in zip(views, apart, strict=True)
    ]


def figure_of_lists(
    lists: Mapping[str, Sequence[RankedList]], benchmark: Benchmark, metric: Metric
) -> ExplanationFigure:
    """Return the ranked lists, those of one query under each other; the first model chose the queries."""
    first, *others = lists
    rows = [
        PictureRow(_label(entry, name if others else "", name == first), number, _list_views(entry))
        for number, entries in enumerate(zip(*lists.values(), strict=True))
        for name, entry in zip(lists, entries, strict=True)
    ]
    longest = max(len(row.views) for row in rows)
    caption = (
        "The query is at the left, then the nearest gallery crops. Solid green: the same person. Dashed red: "
        f"somebody else. Below each crop: its camera and its {METRIC_NAMES[metric]}. AP: average precision. "
        f"Protocol: {', '.join(benchmark.protocol.describe())}."
    )
    return ExplanationFigure(
        "lists", "Ranked lists", caption, PictureSheet(tuple(rows), (("", 1), ("", longest - 1)))
    )


def _label(entry: RankedList, name: str, chosen_by: bool) -> str:
    kind = entry.kind if chosen_by else ""
    return "\n".join(filter(None, [name, kind, f"AP {100 * entry.average_precision:.0f} %"]))


def _list_views(entry: RankedList) -> tuple[View, ...]:
    views = [View("query", _drawn(entry.query), note=_camera(entry.query), frame="query")]
    for rank, hit in enumerate(entry.hits, 1):
        note = " · ".join(filter(None, [_camera(hit.crop), f"{hit.score:.2f}"]))
        views.append(View(str(rank), _drawn(hit.crop), note=note, frame="right" if hit.right else "wrong"))
    return tuple(views)


def _drawn(crop: Crop) -> Pixels:
    return read_image(crop.path, (HEIGHT, HEIGHT // 2))


def _camera(crop: Crop) -> str:
    return "" if crop.camera is None else f"cam {crop.camera}"


def figure_of_projection(
    subjects: Sequence[Subject], persons: Sequence[int], choices: ExplanationChoices
) -> ExplanationFigure:
    found = project(
        {subject.name: subject.embedded for subject in subjects}, persons, choices.persons, choices.metric
    )
    caption = (
        f"The descriptors of {len(found.crops):,} crops of {len(found.persons):,} of the {found.total:,} "
        "test persons in the plane: a colour for each person, a marker for each camera. Distances between "
        "clusters that lie far apart have no meaning."
    )
    return ExplanationFigure("tsne", "t-SNE of the descriptors", caption, found)
