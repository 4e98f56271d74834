"""The metadata of a gallery: its model, calibration and retention period."""

import json
from datetime import UTC, datetime

import pydantic

from resight import __version__
from resight.errors import UserError
from resight.gallery.stores.store import Layout
from resight.inference.embedder import ModelIdentity
from resight.registry import Settings

FORMAT = 3
"""Increased when the storage format of galleries changes."""


class OperatingPoint(Settings):
    """A threshold: pairs of crops at this distance (1 - cosine) or less are likely matches.

    Attributes:
        threshold: the distance.
        false_match_rate: upper bound of the share of pairs of different persons that are likely matches.
        matches_found: share of pairs of the same person that are likely matches.
    """

    threshold: float
    false_match_rate: float
    matches_found: float


class Calibration(Settings):
    """Thresholds measured on labelled crops.

    Attributes:
        rates: from the strictest to the loosest threshold.
        target: false-match rate of the check.
        checked: threshold chosen for that rate on half of the persons, with its rates on the other half.
        crops, persons: number that it was measured on.
        origin: where these came from, for messages.
        made: time of the calibration.
        camera_normalise: whether the vectors lacked their cameras' means.
    """

    rates: tuple[OperatingPoint, ...]
    target: float
    checked: OperatingPoint
    crops: int
    persons: int
    origin: str
    made: datetime
    camera_normalise: bool = False

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
    """A re-embedding in progress.

    Attributes:
        model: the new model.
        store: name of the store that is being filled.
    """

    model: ModelIdentity
    store: str


class Metadata(Settings):
    """The contents of ``gallery.json``.

    Attributes:
        format: version of the storage format.
        version: version of Resight that made the gallery.
        created: time of creation.
        model: the model that computed the vectors.
        graph_from: number of crops above which the store has an HNSW graph; None: see ``Layout``.
        shards, replicas: on a cluster.
        store: name of the current store of crops.
        forget_after_days: retention period; None keeps crops forever.
        camera_normalise: whether cameras' means are removed from the vectors.
        calibration: None before the first one.
        reembedding: None if none is in progress.
        traces: whether the stores' files may still contain data of forgotten crops, or replaced labels or
            tags.
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
    camera_normalise: bool = True
    calibration: Calibration | None = None
    reembedding: Reembedding | None = None
    traces: bool = False

    @property
    def layout(self) -> Layout:
        """Settings of its store."""
        return Layout(self.model.width, self.graph_from, self.shards, self.replicas)


def check_days(days: float | None) -> None:
    """Check a retention period; None means forever.

    Raises:
        UserError: it is not longer than 0 days.
    """
    if days is not None and not days > 0:
        raise UserError(f"The retention period must be longer than 0 days; got {days:g}.")


def parse_metadata(text: str, place: str) -> Metadata:
    """Parse the output of ``Metadata.model_dump_json``.

    Raises:
        UserError: the format is another one, or the text is damaged.
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
            f"The gallery {place} was made by an earlier version of Resight, in format {written}, and this "
            f"one reads format {FORMAT}: create a new gallery in another place, from the same crops or "
            "videos, with 'resight gallery add CROPS --gallery NEW --model MODEL' or 'resight ingest'."
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
    """Return the current time in UTC."""
    return datetime.now(UTC)
