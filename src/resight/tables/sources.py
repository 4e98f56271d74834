"""The data of a table's columns: published sets that a user has, or one other set in place of them all."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from resight.data.benchmark import Benchmark
from resight.data.benchmarks.market_layout import DISTRACTORS
from resight.data.classification import CLASSIFICATIONS, Classification
from resight.data.crop import Crop
from resight.data.matching import refuse_trained_persons, refuse_without_match
from resight.data.opening import READERS, open_data
from resight.data.published import compare
from resight.errors import UserError, did_you_mean
from resight.people.generate import synthesize
from resight.tables.table import ANY, Column, Table

SYNTHETIC = "synthetic"
PERSONS, TEST_PERSONS, CAMERAS, CROPS, HEIGHT = 320, 120, 4, 3, 128
"""The synthetic people of ``--data synthetic``: 200 to train on, 120 to test on."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A data set that was opened for a column.

    Attributes:
        data: the set.
        trained_on: SHA-256 of the list of files to train on: path, size, person and camera of each.
        tested_on: SHA-256 of such a list of all files to test on, and of the protocol.
    """

    data: Benchmark | Classification
    trained_on: str
    tested_on: str


@dataclass(frozen=True, slots=True)
class DataChoice:
    """What ``--data`` names.

    Attributes:
        named: reader -> folder of that published set.
        substitute: folder of another set, in place of every set of the table; or None.
        synthetic: whether that set is drawn.
        reading: how to read it: arguments of ``open_data``.
        paper: whether there is a paper, on whose data the table could be.
    """

    named: dict[str, Path]
    substitute: Path | None
    synthetic: bool
    reading: dict[str, Any]
    paper: bool = True

    @property
    def name(self) -> str | None:
        """The name of the data that stand for all of the table's, or None."""
        if self.substitute is None:
            return None
        return SYNTHETIC if self.synthetic else self.substitute.resolve().name

    @property
    def condition(self) -> str | None:
        """What headings say about the data; None for the table's own."""
        if self.substitute is None or not (self.paper or self.synthetic):
            return None
        other = "synthetic people" if self.synthetic else self.name
        return f"on {other} instead of the paper's data" if self.paper else f"on {other}"

    def reader_of(self, column: Column) -> str | None:
        """Return the name of the column's published set."""
        return None if column.data is None else column.data.partition(",")[0]

    def missing(self, column: Column) -> str | None:
        """Return why the column has no data, or None."""
        name = self.reader_of(column)
        if name is None:
            return None
        if self.substitute is None:
            return None if name in self.named else f"no data: name its folder, --data {name}=PATH"
        if column.distractors is not None:
            return "The gallery grows by Market-1501's 500,000 distractors, which no other data have."
        return None

    def open(self, column: Column, split: int | None) -> Opened:
        """Open the column's data set; the same one is opened once.

        Raises:
            UserError: it cannot be read, or is not the published set that the column needs.
        """
        if self.substitute is not None:
            opened = _open(str(self.substitute), None, tuple(self.reading.items()))
            needed = CLASSIFICATIONS if isinstance(opened.data, Benchmark) else READERS
            if self.reader_of(column) in needed.names():
                kinds = ("classes of pictures", "crops of persons")
                needs, has = kinds if needed is CLASSIFICATIONS else kinds[::-1]
                raise UserError(f"The table needs {needs}, and {self.substitute} has {has}.")
            return opened
        name = self.reader_of(column)
        assert name is not None
        reader = f"{column.data}" if split is None else f"{column.data},split={split}"
        opened = _open(str(self.named[name]), reader, ())
        wrong = compare(opened.data) if isinstance(opened.data, Benchmark) else []
        if wrong:
            raise UserError(
                f"{self.named[name]} is not the {name} that the table needs. {' '.join(wrong)} To run the "
                f"table on it instead, and have that said in every heading: --data {self.named[name]}"
            )
        return opened


def choose_data(values: Sequence[str], reading: dict[str, Any], table: Table, out: Path) -> DataChoice:
    """Read the values of ``--data``: ``NAME=PATH`` each, or one of ``PATH`` and ``synthetic``.

    Args:
        values: as given.
        reading: how to read a ``PATH``, arguments of ``open_data``; empty for none.
        table: whose columns ask for data.
        out: folder for synthetic people, which are drawn here unless they are there.

    Raises:
        UserError: a name is unknown, is none of the table's, or given twice; several sets stand for all.
    """
    named: dict[str, Path] = {}
    alone: list[str] = []
    asked = {column.data.partition(",")[0] for column in table.columns if column.data is not None}
    if values and not asked:
        raise UserError("The table is of what networks cost, which needs no data. Leave --data out.")
    paper = bool(table.source)
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or name == SYNTHETIC or asked == {ANY} or Path(value).expanduser().exists():
            alone.append(value)
            continue
        if name not in asked:
            known = {*READERS.names(), *CLASSIFICATIONS.names()}
            if name not in known:
                raise UserError(
                    f"--data {value}: unknown data set '{name}'.{did_you_mean(name, asked or known)}"
                )
            raise UserError(
                f"--data {value}: the table needs {', '.join(sorted(asked))}, not {name}. To run it on other "
                f"data, name the folder alone: --data {path}"
            )
        if named.setdefault(name, Path(path).expanduser()) != Path(path).expanduser():
            raise UserError(f"--data names two folders for {name}: {named[name]} and {path}. Name one.")
    if len(alone) > 1 or (alone and named):
        raise UserError(
            "--data names the sets of the table as NAME=PATH, or one other set that stands for all of them; "
            f"got {', '.join(values)}."
        )
    if reading and (not alone or alone[0].startswith(SYNTHETIC)):
        raise UserError(
            f"{' and '.join(f'--{name}' for name in reading)} can only be given with another data set, by "
            "--data PATH. Published sets are read by their own protocols."
        )
    if not alone:
        return DataChoice(named, None, False, {})
    name, _, path = alone[0].partition("=")
    if name == SYNTHETIC and not Path(alone[0]).exists():
        folder = Path(path).expanduser() if path else out / SYNTHETIC
        synthesize(
            folder,
            persons=PERSONS,
            test_persons=TEST_PERSONS,
            cameras=CAMERAS,
            crops=CROPS,
            height=HEIGHT,
        )
        return DataChoice({}, folder, True, {}, paper)
    return DataChoice({}, Path(alone[0]).expanduser(), False, reading, paper)


@cache
def _open(path: str, reader: str | None, reading: tuple[tuple[str, Any], ...]) -> Opened:
    arguments: dict[str, Any] = dict(reading) if reader is None else {"reader": reader}
    data = open_data(path, **arguments)
    if isinstance(data, Classification):
        parts = (data.train, data.test)
        trained, tested = (
            hashlib.sha256(part.pixels.tobytes() + part.classes.tobytes()).hexdigest() for part in parts
        )
        return Opened(data, trained, tested)
    refuse_trained_persons(data)
    refuse_without_match(data)
    crops = (*data.query, *data.gallery, *data.query_pool)
    protocol = " ".join([*data.protocol.describe(), f"{len(data.query)} {len(data.draws)}"])
    return Opened(data, _digest(data, data.train), _digest(data, crops, [protocol]))


def _digest(benchmark: Benchmark, crops: Iterable[Crop], more: Iterable[str] = ()) -> str:
    """Return the SHA-256 of the list of crops."""
    lines = (
        f"{benchmark.relative(crop.path)}\t{crop.path.stat().st_size}\t{crop.person}\t{crop.camera}"
        for crop in crops
    )
    text = "\n".join([*lines, *more])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def is_classification(path: str) -> bool:
    """Return whether a folder is a classification data set."""
    return any(
        CLASSIFICATIONS.build(name).recognises(Path(path).expanduser()) for name in CLASSIFICATIONS.names()
    )


def are_distractors(benchmark: Benchmark, crops: Iterable[Crop]) -> list[bool]:
    """Return for each crop whether it is one of Market-1501's 500,000 added distractors."""
    return [crop.path.relative_to(benchmark.root).parts[0] in DISTRACTORS for crop in crops]
