"""A data set with its split and its protocol."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args
from typing import Protocol as Interface

from resight.data.crop import Crop
from resight.errors import UserError
from resight.left_out import LeftOut

Pooling = Literal["average", "max"]
GallerySide = Literal["all", "opposite"]
Cmc = Literal["all", "single-shot"]

Data = TypeVar("Data", covariant=True)

DRAWS = 100
"""Draws of a single-shot CMC by default."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which gallery crops count for a query.

    Attributes:
        name: shown in reports, such as ``market-1501``.
        cross_camera: a gallery crop of the query's person *and* camera is ignored (the field's rule). False
            where cameras are not known: every image of the person but the query itself counts.
        cross_clothes: a gallery crop of the query's person in the query's clothes is ignored too.
        tracks: queries and gallery are tracks, each the mean of its crops' features.
        pooling: how the features of a query's person under its camera (``Benchmark.query_pool``) are
            combined; None: the query's own features are used.
        gallery_side: ``opposite``: crops of *all* persons under the query's own camera are ignored, as for
            two views.
        cmc: rank-k is computed on ``all`` gallery crops that count; or ``single-shot``, on one of each
            person, drawn ``draws`` times for each query. The average precision always uses all crops.
        draws: number of draws.

    Raises:
        UserError: an unknown word, no draw, or the opposite side without ``cross_camera``.
    """

    name: str = "market-1501"
    cross_camera: bool = True
    cross_clothes: bool = False
    tracks: bool = False
    pooling: Pooling | None = None
    gallery_side: GallerySide = "all"
    cmc: Cmc = "all"
    draws: int = DRAWS

    def __post_init__(self) -> None:
        for option, value, known in (
            ("gallery_side", self.gallery_side, get_args(GallerySide)),
            ("cmc", self.cmc, get_args(Cmc)),
        ):
            if value not in known:
                raise UserError(f"Unknown {option} '{value}'. Known: {', '.join(known)}.")
        if self.draws < 1:
            raise UserError(f"A single-shot CMC needs one draw or more; got {self.draws}.")
        if self.gallery_side == "opposite" and not self.cross_camera:
            raise UserError(
                "The opposite side of the gallery has the other cameras' crops: cameras must be known and "
                "count. Leave out --gallery-side opposite, or give cameras."
            )

    def describe(self) -> list[str]:
        """Return the protocol in words, for a title."""
        side = ["gallery of the other cameras"] if self.gallery_side == "opposite" else []
        shots = [f"CMC of {self.draws} single shots"] if self.cmc == "single-shot" else []
        clothes = ["matches in other clothes only"] if self.cross_clothes else []
        return [self.name, *side, *clothes, *shots]


EVERY_OTHER_IMAGE = Protocol(name="every-other-image", cross_camera=False)
"""The protocol for sets without cameras: every crop is a query against all other crops."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of a repeated protocol: queries and their gallery."""

    query: tuple[Crop, ...]
    gallery: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a data set is published; Resight never downloads one.

    Attributes:
        name: as in papers.
        address: the owners' page.
        terms: a sentence about permitted use.
        note: a sentence that every user should know; may be empty.
    """

    name: str
    address: str
    terms: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedCounts:
    """Published counts of one part; None where they are not published."""

    crops: int | None = None
    persons: int | None = None
    junk: int | None = None
    distractors: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """Published counts of a data set, to compare with what was read.

    Attributes:
        source: the set.
        counts: of ``train``, ``query`` and ``gallery``.
        mixups: sentence about a common mistake -> the counts that it leads to.
    """

    source: DataSource
    counts: Mapping[str, PublishedCounts]
    mixups: Mapping[str, Mapping[str, PublishedCounts]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A data set, split.

    Attributes:
        name: shown in messages and reports.
        root: the folder that was read.
        train: crops to train on, in a fixed order; any of the three parts may be empty.
        query: crops to search for.
        gallery: crops to search in.
        protocol: the evaluation rule of query against gallery.
        names: person -> its label in the data set (folder name), where that is not the number itself.
        camera_names: camera -> its label in the data set, where that is not the number itself.
        notes: sentences about how the set was read (a split that was made).
        left_out: files in the folder that are not used, by reason.
        query_pool: further images of the queries' persons, for ``protocol.pooling``.
        draws: of a repeated protocol; its score is the mean over them. Query and gallery hold all crops that
            may be drawn. Empty: all queries against the whole gallery, once.
        published: its published counts; None if it is not a known set.
        unpacked: the folder of the images, if they were unpacked from an archive.
        opened: the arguments of ``open_benchmark`` as plain data, to open it again.
        held_out: persons of the training part that were made the test part; None where the set has its own.
    """

    name: str
    root: Path
    train: tuple[Crop, ...] = ()
    query: tuple[Crop, ...] = ()
    gallery: tuple[Crop, ...] = ()
    protocol: Protocol = Protocol()
    names: Mapping[int, str] = field(default_factory=dict)
    camera_names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    query_pool: tuple[Crop, ...] = ()
    draws: tuple[Draw, ...] = ()
    published: Published | None = None
    unpacked: Path | None = None
    opened: Mapping[str, Any] = field(default_factory=dict)
    held_out: int | None = None

    def cameras_of(self, crops: Iterable[Crop]) -> tuple[str, ...]:
        """Return the names of the crops' cameras."""
        numbers = {crop.camera for crop in crops if crop.camera is not None}
        return tuple(sorted(self.camera_names.get(number, str(number)) for number in numbers))

    def tested(self) -> dict[str, Any]:
        """Return the number of persons in the queries, and what part of the set they are."""
        persons = len({crop.person for crop in self.query if crop.person > 0})
        part = "test part" if self.held_out is None else "held out" if self.train else "all persons"
        return {"part": part, "persons": persons}

    def describe_test(self) -> str:
        """Return ``tested`` in words."""
        tested = self.tested()
        persons = f"{tested['persons']:,}"
        if tested["part"] == "test part":
            return f"{persons} persons, the set's own test part"
        if tested["part"] == "all persons":
            return f"all {persons} persons, as the set has no test part"
        others = len({crop.person for crop in self.train})
        return f"the last {persons} of {others + tested['persons']:,} persons, held out from training"

    def relative(self, path: Path) -> str:
        """Return a crop's path relative to the data set."""
        for folder in (self.root, self.unpacked):
            if folder is not None and path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return str(path)


class Reader(Interface, Generic[Data]):
    """Reads one data set or layout; registered by ``@READERS.register("name")``.

    The keyword-only parameters of its constructor are the options that a user may set.
    """

    @property
    def source(self) -> DataSource | None:
        """Return where the set is published; None for layouts that any set may have."""

    def recognises(self, root: Path) -> bool:
        """Return whether the folder has this layout, whatever the options."""

    def read(self, root: Path) -> Data:
        """Return the data, split as on disk or by the set's protocol.

        Raises:
            UserError: there is nothing to read, it is damaged, or it does not fit the options.
        """
