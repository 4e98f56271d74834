"""``resight gallery``: info, list and persons."""

from dataclasses import asdict

from resight.commands import gallery_output as output
from resight.commands.gallery_crops import EVERYTHING, FilterOptions
from resight.commands.options import GalleryPlace, Json, Timezone, Words
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.timestamps import find_zone


def info(*, gallery: GalleryPlace, timezone: Timezone = None, json: Json = False) -> None:
    """Show what is in a gallery: counts, cameras, times, model, calibration."""
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery

    zone = find_zone(timezone)
    with Gallery.open(gallery) as opened:
        facts = {
            "gallery": gallery,
            "crops": len(opened),
            "labelled": opened.count(Filter(labelled=True)),
            "persons": len(opened.values("person")),
            "cameras": [row.as_dict() for row in opened.by_camera()],
            "sources": opened.values("source"),
            "tags": opened.values("tags"),
            **opened.facts(),
            "bytes": opened.size(),
            **opened.metadata.model_dump(mode="json", exclude={"store", "format"}),
            "graph_from": opened.graph_from,
            "camera_normalise": asdict(opened.camera_normalisation()),
        }
    if json:
        print_json(facts)
    else:
        output.print_info(facts, zone)


def list_crops(
    *,
    gallery: GalleryPlace,
    crop: Words = None,
    which: FilterOptions = EVERYTHING,
    top: int = 100,
    json: Json = False,
) -> None:
    """List stored crops, ordered by id.

    Args:
        crop: id of a crop; may be repeated.
        top: number of crops to list.
    """
    from resight.gallery.gallery import Gallery

    if top < 1:
        raise UserError(f"--top must be at least 1; got {top}.")
    with Gallery.open(gallery) as opened:
        where = which.filter(tuple(crop or ()))
        opened.check_filter(where)
        crops, _ = opened.page(where, top)
        count = opened.count(where)
    if json:
        print_json({"gallery": gallery, "found": count, "crops": [one.as_dict() for one in crops]})
    else:
        output.print_crops(crops, count, which.zone)


def persons(*, gallery: GalleryPlace, which: FilterOptions = EVERYTHING, json: Json = False) -> None:
    """List the labelled persons with their numbers of crops."""
    from resight.gallery.gallery import Gallery
    from resight.imaging import natural

    with Gallery.open(gallery) as opened:
        where = which.filter()
        opened.check_filter(where)
        found = opened.values("person", where)
    rows = sorted(found.items(), key=lambda entry: natural(entry[0]))
    if json:
        print_json(
            {"gallery": gallery, "persons": [{"person": name, "crops": count} for name, count in rows]}
        )
    elif rows:
        print_table(["Person", "Crops"], [[name, f"{count:,}"] for name, count in rows])
    else:
        print("No crop is labelled with a person.")
