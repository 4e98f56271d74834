"""Listings: files with a split and its draws, as paths relative to the data set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic

from resight.data.benchmark import Benchmark, Draw, Protocol
from resight.data.crop import Crop
from resight.data.drawing import SINGLE_SHOT
from resight.errors import UserError
from resight.files import write_json
from resight.names import readable
from resight.registry import Settings


class DrawListing(Settings):
    """Paths of one draw."""

    query: tuple[str, ...]
    gallery: tuple[str, ...]


class Listing(Settings):
    """Paths of each part, and of each draw."""

    name: str
    train: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    gallery: tuple[str, ...] = ()
    draws: tuple[DrawListing, ...] = ()


def save_listing(benchmark: Benchmark, path: Path) -> None:
    """Write the crops of each part and of each draw as JSON."""

    def paths(crops: Sequence[Crop]) -> list[str]:
        return [readable(benchmark.relative(crop.path)) for crop in crops]

    content: dict[str, Any] = {"name": benchmark.name}
    for part in ("train", "query", "gallery"):
        content[part] = paths(getattr(benchmark, part))
    content["draws"] = [
        {"query": paths(draw.query), "gallery": paths(draw.gallery)} for draw in benchmark.draws
    ]
    write_json(path, content)


def apply_listing(benchmark: Benchmark, path: Path) -> Benchmark:
    """Return the benchmark with the parts and draws of a listing; other crops are left out.

    Raises:
        UserError: the file is missing or is no listing, or has crops that are not in the benchmark.
    """
    try:
        listing = Listing.model_validate_json(path.expanduser().read_bytes())
    except OSError as error:
        raise UserError(f"The listing {path} cannot be read: {error.strerror}.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is no listing: {place}: {first['msg']}. 'resight data split' writes one: JSON with "
            "lists of paths under train, query, gallery, and draws of a query and a gallery each."
        ) from error
    crops = {
        readable(benchmark.relative(crop.path)): crop
        for part in (benchmark.train, benchmark.query, benchmark.gallery)
        for crop in part
    }

    def find(names: Sequence[str]) -> tuple[Crop, ...]:
        missing = [name for name in names if name not in crops]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(names)} crops in the listing {path} are not in {benchmark.root}, "
                f"such as {', '.join(missing[:3])}. It was made for another data set, or with other options."
            )
        return tuple(crops[name] for name in names)

    draws = tuple(Draw(find(draw.query), find(draw.gallery)) for draw in listing.draws)
    single = all(len({crop.person for crop in draw.query}) == len(draw.query) for draw in draws)
    protocol = benchmark.protocol
    if draws:
        protocol = SINGLE_SHOT if single else Protocol("repeated")
    return replace(
        benchmark,
        train=find(listing.train),
        query=find(listing.query),
        gallery=find(listing.gallery),
        draws=draws,
        protocol=protocol,
        published=None,
        notes=(*benchmark.notes, f"The parts are those of {path}."),
    )
