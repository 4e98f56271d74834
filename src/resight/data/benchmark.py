"""A data set with its split and its protocol: what readers return and everything else takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args
from typing import Protocol as Interface

from resight.data.crop import Crop
from resight.errors import UserError

Pooling = Literal["average", "max"]
GallerySide = Literal["all", "opposite"]
Cmc = Literal["all", "single-shot"]

Data = TypeVar("Data", covariant=True)

DRAWS = 100
"""Draws of a single-shot CMC where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which gallery crops count for a query.

    Attributes:
        name: the word that reports print, such as ``market-1501``.
        cross_camera: a gallery crop of the query's person *and* camera is ignored (the field's rule). False
            where cameras are not known: every image of the person but the query itself counts.
        pooling: how the features of a query's person under its camera (``Benchmark.query_pool``) become one;
            None where the query stands for itself.
        gallery_side: ``opposite``: crops of *all* persons under the query's own camera are ignored, as where
            the gallery is one view and the queries are the other.
        cmc: what rank-k is of: ``all`` gallery crops that count; or ``single-shot``, one of each person,
            drawn ``draws`` times for each query. The average precision is of all crops either way.
        draws: how often.

    Raises:
        UserError: an unknown word, no draw, or the opposite side without ``cross_camera``.
    """

    name: str = "market-1501"
    cross_camera: bool = True
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
                "The opposite side of the gallery is that of the other cameras, so it cannot be had where "
                "cameras do not count. Leave out --gallery-side opposite, or give cameras."
            )

    def describe(self) -> list[str]:
        """Return it in words for a title."""
        side = ["gallery of the other cameras"] if self.gallery_side == "opposite" else []
        shots = [f"CMC of {self.draws} single shots"] if self.cmc == "single-shot" else []
        return [self.name, *side, *shots]


EVERY_OTHER_IMAGE = Protocol(name="every-other-image", cross_camera=False)
"""The protocol for sets without camera labels: all crops are queries against all other crops."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of a protocol that is repeated: these queries against this gallery."""

    query: tuple[Crop, ...]
    gallery: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the owners of a data set publish it; nothing here ever downloads one.

    Attributes:
        name: as its papers write it.
        address: the owners' page.
        terms: a sentence on what they allow.
        note: a sentence that everybody who uses the set should know, or nothing.
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
    """What a data set should hold, to compare with what was read.

    Attributes:
        source: the set.
        counts: of ``train``, ``query`` and ``gallery``.
        mixups: counts of what it may be taken for, and what then is the matter (a sentence).
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
        gallery: crops to search.
        protocol: the evaluation rule of query against gallery.
        names: label of a person in the set's own words, where it is not the number itself (folder names).
        notes: sentences that a user should know about how the set was read (a split that was made, files left
            out).
        query_pool: further images of the queries' persons, which ``protocol.pooling`` pools.
        draws: of a repeated protocol, whose score is the mean over them; query and gallery hold all crops
            that may be drawn. Empty: the whole query against the whole gallery, once.
        published: what the set should hold; None where it is not a known one.
        unpacked: the folder of the images, where they had to be taken out of an archive and lie elsewhere.
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
    notes: tuple[str, ...] = ()
    query_pool: tuple[Crop, ...] = ()
    draws: tuple[Draw, ...] = ()
    published: Published | None = None
    unpacked: Path | None = None
    opened: Mapping[str, Any] = field(default_factory=dict)
    held_out: int | None = None

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
        """Return a crop's path inside the data set, the same wherever the set lies."""
        for folder in (self.root, self.unpacked):
            if folder is not None and path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return str(path)


class Reader(Interface, Generic[Data]):
    """Knows one data set or layout on disk; registered under a name, as by ``@READERS.register("name")``.

    The keyword-only parameters of its constructor are the options that a user may set.
    """

    @property
    def source(self) -> DataSource | None:
        """Say where the set is published; None for layouts that any set may have."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the folder has this layout, whatever the options."""

    def read(self, root: Path) -> Data:
        """Return what lies there, split as it is on disk or as the set's protocol has it.

        Raises:
            UserError: there is nothing to read, it is damaged, or it cannot be read as the options want.
        """
