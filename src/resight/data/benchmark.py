"""A data set with its split and its protocol: what readers return and everything else takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resight.data.crop import Crop


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which gallery crops count for a query.

    Attributes:
        name: the word that reports print, such as ``market-1501``.
        cross_camera: a gallery crop of the query's person *and* camera is ignored (the field's rule). False
            where cameras are not known: every image of the person but the query itself counts.
    """

    name: str = "market-1501"
    cross_camera: bool = True


EVERY_OTHER_IMAGE = Protocol(name="every-other-image", cross_camera=False)
"""The protocol for sets without camera labels: all crops are queries against all other crops."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A data set, split.

    Attributes:
        name: shown in messages and reports.
        root: the folder that was read.
        train, query, gallery: crops of each split, in a fixed order; any may be empty.
        protocol: the evaluation rule of query against gallery.
        names: label of a person in the set's own words, where it is not the number itself (folder names).
        notes: sentences that a user should know about how the set was read (a split that was made, files left
            out).
    """

    name: str
    root: Path
    train: tuple[Crop, ...] = ()
    query: tuple[Crop, ...] = ()
    gallery: tuple[Crop, ...] = ()
    protocol: Protocol = Protocol()
    names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
