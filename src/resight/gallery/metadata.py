"""What a gallery says about itself: its model, its calibration, how long it keeps crops."""

import json
from datetime import UTC, datetime

import pydantic

from resight import __version__
from resight.errors import UserError
from resight.gallery.stores.store import Layout
from resight.inference.embedder import ModelIdentity
from resight.registry import Settings

FORMAT = 2
"""Raised when galleries come to be kept in another way."""


class OperatingPoint(Settings):
    """A threshold: pairs of crops at this distance (1 - cosine) or nearer are called likely matches.

    Attributes:
        threshold: the distance.
        false_match_rate: share of the pairs of two persons that are called so, at most.
        matches_found: share of the pairs of one person that are.
    """

    threshold: float
    false_match_rate: float
    matches_found: float


class Calibration(Settings):
    """Thresholds measured on labelled crops.

    Attributes:
        rates: from the strictest to the loosest.
        wished: the false-match rate of the check.
        checked: a threshold that was chosen for it on half of the persons, with its rates on the other half.
        crops, persons: that it was measured on.
        origin: where these came from.
        made: when.
    """

    rates: tuple[OperatingPoint, ...]
    wished: float
    checked: OperatingPoint
    crops: int
    persons: int
    origin: str
    made: datetime

    def at(self, false_match_rate: float) -> OperatingPoint:
        """Return the loosest measured threshold whose false-match rate is not above the given one.

        Raises:
            UserError: the rate is not between 0 and 1, or is lower than what the calibration could measure.
        """
        if not 0 < false_match_rate < 1:
            raise UserError(
                f"A false-match rate is between 0 and 1, such as 0.001; got {false_match_rate:g}."
            )
        fitting = [rate for rate in self.rates if rate.false_match_rate <= false_match_rate]
        if not fitting:
            raise UserError(
                f"A false-match rate of {false_match_rate:g} is lower than {self.crops:,} labelled crops can "
                f"measure: {self.rates[0].false_match_rate:.2g} at best. Give a higher rate, or calibrate "
                "with more crops."
            )
        return fitting[-1]


class Reembedding(Settings):
    """A re-embedding under way.

    Attributes:
        model: the new one.
        store: name of the store that is being filled.
    """

    model: ModelIdentity
    store: str


class Metadata(Settings):
    """What ``gallery.json`` says about a gallery.

    Attributes:
        format: how galleries were kept by the version that made it.
        version: of Resight.
        created: when.
        model: of the vectors.
        graph_from: crops from which on the store has a graph; None: as their numbers suggest.
        shards, replicas: of a cluster.
        store: name of the store of the crops.
        forget_after_days: crops older than this are forgotten; None keeps them.
        calibration: None before the first one.
        reembedding: None while none is under way.
        traces: whether the stores' files may hold something of forgotten crops, or words that were replaced.
    """

    format: int = FORMAT
    version: str = __version__
    created: datetime
    model: ModelIdentity
    graph_from: int | None = None
    shards: int = 1
    replicas: int = 1
    store: str = "crops-1"
    forget_after_days: float | None = None
    calibration: Calibration | None = None
    reembedding: Reembedding | None = None
    traces: bool = False

    @property
    def layout(self) -> Layout:
        """How its store is made."""
        return Layout(self.model.width, self.graph_from, self.shards, self.replicas)


def check_days(days: float | None) -> None:
    """Check for how many days crops are to be kept; None is for good.

    Raises:
        UserError: that is not more than 0 days.
    """
    if days is not None and not days > 0:
        raise UserError(f"Crops are kept for more than 0 days; got {days:g}.")


def parse_metadata(text: str, place: str) -> Metadata:
    """Read what ``Metadata.model_dump_json`` wrote.

    Raises:
        UserError: it is of another format, or damaged.
    """
    try:
        content = json.loads(text)
        written, version = int(content["format"]), content.get("version", "?")
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The gallery {place} is damaged: its gallery.json cannot be read ({error}). "
            "Restore it from a copy."
        ) from error
    if written > FORMAT:
        raise UserError(
            f"The gallery {place} was written by Resight {version} in format {written}; this is Resight "
            f"{__version__}, which reads format {FORMAT}. Update Resight."
        )
    if written < FORMAT:
        raise UserError(
            f"The gallery {place} was made by an earlier build of Resight, in format {written}, and this one "
            f"reads format {FORMAT}: make it anew from the same crops, in another place, with: "
            "resight gallery add CROPS --gallery NEW --model RUN"
        )
    try:
        return Metadata.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"The gallery {place}, written by Resight {version}, is damaged: {where}: {first['msg']}. "
            "Restore it from a copy."
        ) from error


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)
