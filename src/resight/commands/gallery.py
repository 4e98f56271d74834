"""``resight gallery``: keep crops, and find persons among them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from resight.commands import gallery_output as output
from resight.commands.embedders import load_embedder, use_own_model
from resight.commands.gallery_crops import Which, Words, count_crops, new_crops
from resight.commands.output import print_json
from resight.errors import UserError
from resight.progress import Bar, say

Place = Annotated[str, Parameter(env_var="RESIGHT_GALLERY")]
Flag = Annotated[bool, Parameter(negative="")]


Chosen = Annotated[Which, Parameter(name="*")]
EVERYTHING = Which()


def add(
    *crops: Path,
    gallery: Place,
    model: Path | None = None,
    camera: str | None = None,
    camera_pattern: str | None = None,
    time: str | None = None,
    tag: Words = None,
    part: Literal["train", "query", "gallery", "all"] = "all",
    split: int | None = None,
    unlabelled: Flag = False,
    reader: str | None = None,
    listing: Path | None = None,
    pattern: str | None = None,
    storage: Literal["float32", "float16", "int8"] = "float32",
    keep_days: float | None = None,
    shards: int = 1,
    replicas: int = 1,
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Add crops to a gallery, which is made if it is not there.

    A crop whose very picture is in the gallery already is not added again: killed at any time, the same
    command goes on where it was.

    Args:
        crops: folders of crops in any layout that 'resight data readers' lists, folders of images, or text
            files of image paths.
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        model: folder of a run, or a weights.safetensors file; by default the one that the gallery was made
            with.
        camera: what the camera of all these crops is called; by default what the reader says.
        camera_pattern: regular expression with a group named camera, searched in each file's path.
        time: when the pictures were taken: a time, or 'name' to read it in each file's name.
        tag: word to give to all crops; may be repeated.
        part: of a data set; all is every crop of it.
        split: which of the splits of a set that has several.
        unlabelled: take every image under the folder, and leave labels aside.
        reader: reader of a data set and its options.
        listing: file of 'resight data split'.
        pattern: regular expression with named groups person and/or camera, searched in each file's path.
        storage: of a new gallery: type that vectors are kept in.
        keep_days: of a new gallery: days after which crops are forgotten.
        shards: of a new gallery on a cluster: machines that share the crops.
        replicas: of a new gallery on a cluster: copies of each crop.
        device: auto, cpu or cuda.
        json: print one JSON object.
    """
    from resight.gallery.adding import Added
    from resight.gallery.gallery import Gallery
    from resight.gallery.sources import crops_to_embed

    if not crops:
        raise UserError("Name folders of crops to add.")
    if camera is not None and camera_pattern is not None:
        raise UserError("Give --camera or --camera-pattern, not both.")
    options: dict[str, Any] = {
        "part": part,
        "split": split,
        "unlabelled": unlabelled,
        "reader": reader,
        "listing": listing,
        "pattern": pattern,
    }
    lists = [crops_to_embed(path, **options) for path in crops]
    for note in (note for found in lists for note in found.notes):
        say(f"Note: {note}")
    settings: dict[str, Any] = {
        "storage": storage,
        "forget_after_days": keep_days,
        "shards": shards,
        "replicas": replicas,
    }
    embedder = None if model is None else load_embedder(model, device)
    with Gallery.open(gallery, embedder, create=embedder is not None, **settings) as opened:
        if embedder is None:
            use_own_model(opened, device)
        with Bar("Adding crops", sum(count_crops(found) for found in lists)) as bar:

            def stored(batch: Added) -> None:
                bar.advance(len(batch.ids))

            added = opened.add(
                (
                    crop
                    for found in lists
                    for crop in new_crops(found, camera, camera_pattern, time, tag or ())
                ),
                stored,
            )
        for name, reason in added.refused:
            say(f"Left out: {reason if name in reason else f'{name}: {reason}'}")
        facts = opened.facts()
        total = len(opened)
        if total > opened.layout.exact_up_to and facts["indexed"] < 0.8 * total:
            say(f"Searches will be faster after: resight gallery compact --gallery {gallery}")
    told = {"new": added.new, "known": added.known, "refused": [list(one) for one in added.refused]}
    if json:
        print_json(told | {"gallery": gallery, "crops": total})
    else:
        output.print_added(told, gallery, total)


def search(
    *pictures: Path,
    gallery: Place,
    crop: Words = None,
    model: Path | None = None,
    which: Chosen = EVERYTHING,
    other_cameras: Flag = False,
    taken_by: Words = None,
    combine: Literal["average", "max"] = "average",
    top: int = 20,
    page: int = 1,
    false_match_rate: float | None = None,
    rerank: int = 0,
    exact: bool | None = None,
    sheet: Path | None = None,
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Search a gallery for the person on one or several pictures.

    Args:
        pictures: of one person.
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        crop: id of a stored crop to search for; may be repeated.
        model: folder of a run, or a weights.safetensors file; by default the one that the gallery was made
            with.
        other_cameras: leave out crops of the cameras that took the pictures.
        taken_by: camera that took the pictures; may be repeated. Those of stored crops are known.
        combine: several pictures search by their average, or by the one that a crop is most like (max).
        top: matches a page.
        page: which page, from 1.
        false_match_rate: share of other persons' crops that may be called likely matches (0.001).
        rerank: re-rank that many of the first by k-reciprocal neighbours; a few hundred are usual.
        exact: compare with every crop; with --no-exact only with those that the graph leads to.
        sheet: also draw the matches on a contact sheet, a PNG file.
        device: auto, cpu or cuda.
        json: print one JSON object.
    """
    from resight.gallery.gallery import Gallery
    from resight.gallery.pictures import read_pixels
    from resight.gallery.sheet import write_sheet

    if page < 1:
        raise UserError(f"Pages are counted from 1; got --page {page}.")
    with Gallery.open(gallery) as opened:
        if pictures:
            use_own_model(opened, device) if model is None else opened.use(load_embedder(model, device))
        found = opened.search(
            pictures,
            crops=crop or (),
            combine=combine,
            top=top,
            offset=(page - 1) * top,
            where=which.filter(),
            other_cameras=other_cameras,
            cameras=taken_by or (),
            false_match_rate=false_match_rate,
            rerank=rerank,
            exact=exact,
        )
        if sheet is not None:
            shown = [(match, read_pixels(opened.picture(match.crop.id))) for match in found.matches]
            stored = [opened.picture(identity) for identity in crop or ()]
            queries = [read_pixels(one) for one in stored] + [read_pixels(one) for one in pictures]
            write_sheet(
                sheet,
                queries,
                shown,
                title=output.sheet_title(gallery, found),
                note=output.threshold_line(found),
                first=found.offset + 1,
            )
            say(f"Contact sheet: {sheet}")
    if json:
        print_json(found.as_dict() | {"gallery": gallery, "page": page})
    else:
        output.print_found(found, gallery)


def info(gallery: Place, *, json: Flag = False) -> None:
    """Tell what is in a gallery: counts, cameras, times, model, calibration.

    Args:
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        json: print one JSON object.
    """
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        cameras = []
        for name, count in sorted(opened.values("camera").items()):
            times = opened.times(Filter(cameras=(name,)))
            first, last = (None, None) if times is None else (time.isoformat() for time in times)
            cameras.append({"camera": name, "crops": count, "first": first, "last": last})
        told = {
            "gallery": gallery,
            "crops": len(opened),
            "labelled": opened.count(Filter(labelled=True)),
            "persons": len(opened.values("person")),
            "cameras": cameras,
            "sources": opened.values("source"),
            "tags": opened.values("tags"),
            **opened.facts(),
            "exact_up_to": opened.layout.exact_up_to,
            "bytes": opened.size(),
            **opened.about.model_dump(mode="json", exclude={"store", "format"}),
        }
    if json:
        print_json(told)
    else:
        output.print_info(told)


def forget(
    *,
    gallery: Place,
    crop: Words = None,
    which: Chosen = EVERYTHING,
    expired: Flag = False,
    keep_days: float | None = None,
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Delete crops for good, pictures and all; or set for how long crops are kept.

    Args:
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        crop: id of a crop; may be repeated.
        expired: delete what is older than the gallery keeps. Opening a gallery does so too.
        keep_days: from now on keep crops for so many days, and delete what is older; 0 keeps them for good.
        dry_run: only count.
        json: print one JSON object.
    """
    from resight.gallery.gallery import Gallery

    where = which.filter(tuple(crop or ()))
    said = crop or which != EVERYTHING
    if sum(map(bool, (said, expired, keep_days is not None))) != 1:
        raise UserError(
            "Say which crops to forget (by --before, --camera, --person, --source, --crop), or --expired, or "
            "--keep-days: one of the three."
        )
    if dry_run and not said:
        raise UserError("--dry-run counts crops that are named: by --before, --camera, --crop and so on.")
    with Gallery.open(gallery) as opened:
        if keep_days is not None:
            opened.keep_for(keep_days or None)
        if said:
            count = opened.count(where) if dry_run else opened.forget(where)
        else:
            count = opened.expired_on_opening + opened.forget_expired()
        left = len(opened)
    if json:
        print_json({"gallery": gallery, "forgotten": 0 if dry_run else count, "found": count, "crops": left})
    elif dry_run:
        print(f"{count:,} of {left:,} crops would be forgotten.")
    else:
        print(f"Forgot {count:,} crops; {left:,} are left in {gallery}.")


def export(*, gallery: Place, out: Path, which: Chosen = EVERYTHING, json: Flag = False) -> None:
    """Write features, labels, pictures and all that is known of crops to a new folder.

    'resight score' reads the folder's features.npy, persons.npy and cameras.npy; crops.jsonl tells all that
    is known of each row, and pictures/ holds a JPEG file of each.

    Args:
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        out: folder to write.
        json: print one JSON object.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        where = which.filter()
        with Bar("Exporting crops", opened.count(where)) as bar:
            count = opened.export(out, where, bar.advance)
    if json:
        print_json({"gallery": gallery, "out": str(out), "crops": count})
    else:
        print(f"{out}: {count:,} crops of {gallery}.")


def reembed(*, gallery: Place, model: Path, device: str = "auto", json: Flag = False) -> None:
    """Describe all crops of a gallery by another model, from the pictures that it keeps.

    Until all are done the gallery is what it was; killed at any time, the same command goes on. Nothing
    should be added meanwhile. Thresholds have to be calibrated again.

    Args:
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        model: folder of a run, or a weights.safetensors file.
        device: auto, cpu or cuda.
        json: print one JSON object.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        embedder = load_embedder(model, device)
        with Bar("Embedding crops", len(opened)) as bar:
            count = opened.reembed(embedder, done=bar.advance)
        told = {
            "gallery": gallery,
            "described": count,
            "crops": len(opened),
            "model": opened.about.model.told(),
        }
    if json:
        print_json(told)
    else:
        print(f"{gallery}: {told['crops']:,} crops, now of {told['model']}.")


def calibrate(
    *,
    gallery: Place,
    features: Path | None = None,
    false_match_rate: float = 0.001,
    json: Flag = False,
) -> None:
    """Measure which distance means the same person, on labelled crops; searches then name likely matches.

    Args:
        gallery: folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.
        features: folder of 'resight embed' or .npz archive of labelled features of the gallery's model; by
            default the labelled crops of the gallery itself.
        false_match_rate: at which thresholds are checked: chosen on half of the persons, tried on the others.
        json: print one JSON object.
    """
    from resight.commands.feature_files import embed, read_arrays, read_fingerprint
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if features is None:
            opened.calibrate(false_match_rate=false_match_rate)
        else:
            found = read_fingerprint(features)
            if found is None:
                say(
                    f"Note: {features} does not say which model its features are of: see that it is this one."
                )
            elif found != opened.about.model.fingerprint:
                raise UserError(
                    f"{features} is of a model with the fingerprint {found[:12]}; the gallery is of "
                    f"{opened.about.model.told()}. Embed the labelled crops with that one."
                )
            labelled = embed(read_arrays(features))
            opened.calibrate(labelled, origin=str(features), false_match_rate=false_match_rate)
        calibration = opened.about.calibration
    assert calibration is not None
    if json:
        print_json(calibration.model_dump(mode="json"))
    else:
        output.print_calibration(calibration)


def compact(gallery: Place, *, json: Flag = False) -> None:
    """Put a gallery in order: build its search graph if it is large, give room back, measure what is usual.

    Args:
        gallery: folder of the gallery; a cluster does this by itself.
        json: print one JSON object.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if len(opened) > opened.layout.exact_up_to:
            say(f"Building a graph of {len(opened):,} crops. Of 100,000, that takes minutes.")
        before = opened.size()
        opened.compact()
        count, facts, after = len(opened), opened.facts(), opened.size()
    if json:
        print_json({"gallery": gallery, "crops": count, **facts, "bytes": after})
    else:
        sizes = (
            ""
            if before is None or after is None
            else f", {before / 1e6:,.0f} MB before, {after / 1e6:,.0f} now"
        )
        print(f"{gallery}: {count:,} crops, {facts['indexed']:,} under a graph{sizes}.")
