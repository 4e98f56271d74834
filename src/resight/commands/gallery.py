"""``resight gallery``: add and search."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from resight.commands import gallery_output as output
from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.detecting import query_persons
from resight.commands.gallery_crops import (
    EVERYTHING,
    FilterOptions,
    NewCropOptions,
    at_least_one,
    count_crops,
    shared_labels,
)
from resight.commands.options import (
    DetectorFile,
    Device,
    Flag,
    GalleryPlace,
    Json,
    PersonClass,
    RuntimeName,
    Timezone,
    Words,
)
from resight.commands.output import print_json, print_left_out
from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.interruption import SAME_COMMAND, resumable
from resight.left_out import LeftOut
from resight.progress import Bar, say, say_left_out
from resight.timestamps import find_zone


@resumable(SAME_COMMAND)
def add(
    *crops: Path,
    gallery: GalleryPlace,
    model: Path | None = None,
    camera: str | None = None,
    camera_pattern: str | None = None,
    time: str | None = None,
    timezone: Timezone = None,
    tag: Words = None,
    label_prefix: str = "",
    part: Literal["train", "query", "gallery", "all"] = "all",
    unlabelled: Flag = False,
    reading: DataOptions = DEFAULT,
    update: Flag = False,
    add_again: Flag = False,
    keep_days: float | None = None,
    camera_normalise: bool = True,
    shards: int = 1,
    replicas: int = 1,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    json: Json = False,
) -> None:
    """Add crops to a gallery; create it if needed.

    A picture that is already in the gallery is not added again, nor is one that was deleted from it. If the
    command is killed, run it again to resume.

    Args:
        crops: data sets that 'resight data readers' lists, other folders of images, or text files of image
            paths.
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default the
            gallery's own, or for a new gallery drawn-people, which comes with Resight.
        camera: camera of all crops; by default as in the data set.
        camera_pattern: regular expression with a group named camera, searched in each file's path below the
            folder; if that does not match, with the folder's own name before it.
        time: when the pictures were taken, such as 2024-05-31T14:30; or 'name' to read it from each file's
            name; by default as in the EXIF data of each, if it has them.
        tag: tag for all crops; may be repeated.
        label_prefix: text before the label of each person; {source} stands for the name of the data set's
            folder. Without it, equal labels in two data sets are one person.
        part: part of a data set; 'all' adds every crop.
        unlabelled: add every image in the folder and its sub-folders, without labels.
        update: store camera, time, person and tags of crops that are already in the gallery, where they are
            given.
        add_again: also add pictures that were deleted from the gallery.
        keep_days: for a new gallery: days after which crops are deleted; 0 keeps them forever.
        camera_normalise: for a new gallery: remove each camera's mean from the vectors of its crops, so that
            persons are found across cameras. 'resight gallery settings' changes it.
        shards: for a new gallery on a cluster: number of parts to distribute over its machines.
        replicas: for a new gallery on a cluster: number of copies of each crop.
    """
    from resight.data.labels import NUMBERED
    from resight.gallery.adding import Added
    from resight.gallery.embedding import model_of_gallery
    from resight.gallery.gallery import Gallery
    from resight.gallery.stores.opening import is_address

    if not crops:
        raise UserError("Name folders of crops to add.")
    if (shards, replicas) != (1, 1) and not is_address(gallery):
        raise UserError(
            f"--shards and --replicas are for galleries on a cluster; {gallery} is a folder. Leave them out."
        )
    options = NewCropOptions(
        camera=camera,
        camera_pattern=camera_pattern,
        time=time,
        zone=find_zone(timezone),
        tags=tag or (),
        label_prefix=label_prefix,
    )
    lists = [reading.crops(path, part, unlabelled, camera_pattern) for path in crops]
    left_out = LeftOut()
    for found in lists:
        left_out.update(found.left_out)
        left_out.add("junk, which shows no one person", found.source, len(found.paths) - count_crops(found))
        for note in found.notes:
            if NUMBERED not in note:  # a gallery keeps the labels
                say(f"Note: {note}")
    settings: dict[str, Any] = {
        "forget_after_days": keep_days or None,
        "camera_normalise": camera_normalise,
        "shards": shards,
        "replicas": replicas,
    }
    # a --keep-days that is refused below must not delete crops before
    settings |= {"device": device, "runtime": runtime, "expire": keep_days is None}
    loaded = model_of_gallery(gallery, model, device=device, runtime=runtime)
    count = sum(count_crops(found) for found in lists)
    skipped = LeftOut()
    photographs = guesses = 0

    def each_crop() -> Iterator[NewCrop]:
        nonlocal photographs, guesses
        for crop in (crop for found in lists for crop in options.crops(found, skipped)):
            photographs += time is None and crop.time is not None
            guesses += crop.time_guessed
            yield crop

    new_crops = at_least_one(each_crop(), skipped)
    with Gallery.open(gallery, loaded, create=loaded is not None, **settings) as opened:
        if keep_days is not None and (keep_days or None) != opened.metadata.forget_after_days:
            raise UserError(
                f"--keep-days is for a new gallery, and {gallery} exists. To change its retention period: "
                f"resight gallery forget --gallery {gallery} --keep-days {keep_days:g}"
            )
        if not camera_normalise and opened.metadata.camera_normalise:
            raise UserError(
                f"--no-camera-normalise is for a new gallery, and {gallery} exists. To change it: "
                f"resight gallery settings --gallery {gallery} --no-camera-normalise"
            )
        if shards not in (1, opened.metadata.shards) or replicas not in (1, opened.metadata.replicas):
            raise UserError(
                f"--shards and --replicas are for a new gallery, and {gallery} exists. Leave them out."
            )
        for note in shared_labels(opened, lists, options):
            say(f"Note: {note}")
        calibrated = opened.metadata.calibration is not None
        if (words := opened.prepare(count)) is not None:
            say(f"Embedding with {words}.")
        with Bar("Adding crops", count) as bar:

            def stored(batch: Added) -> None:
                bar.advance(len(batch.ids))

            added = opened.add(new_crops, stored, update=update, add_again=add_again)
        say_left_out([reason if name in reason else f"{name}: {reason}" for name, reason in added.refused])
        if photographs:
            say(f"Note: {photographs:,} pictures have a time in their EXIF data, which was used.")
        if guesses and added.new:
            say(
                f"Note: {guesses:,} of the times are seconds since 1970 in the files' names. These may be "
                "serial numbers, so the times are guesses, shown after ~. If they are wrong, remove them "
                "with 'gallery correct' --set-time ''."
            )
        left_out.update(skipped)
        output.count_left_out(added, left_out)
        output.warn_of_expired(added.expired, opened)
        if calibrated and opened.metadata.calibration is None:
            say(
                "Note: the means of the cameras are now removed from all vectors, which changes the scores. "
                f"Calibrate again: resight gallery calibrate --gallery {gallery}"
            )
        facts = opened.facts()
        total = len(opened)
        if total > opened.graph_from and facts["indexed"] < 0.8 * total:
            say(f"To make searches faster, run: resight gallery compact --gallery {gallery}")
    if json:
        result = {"new": added.new, "known": added.known, "refused": [list(one) for one in added.refused]}
        result |= {"differences": output.count_differences(added), "updated": update}
        result |= {"expired": added.expired, "left_out": left_out.as_list()}
        print_json(result | {"gallery": gallery, "crops": total})
    else:
        known = f", {added.known:,} already in the gallery" if added.known else ""
        print(f"{added.new:,} crops added{known}. {gallery} now has {total:,}.")
        output.print_differences(added, update)
        print_left_out(left_out)


def search(
    *pictures: Path,
    gallery: GalleryPlace,
    crop: Words = None,
    model: Path | None = None,
    which: FilterOptions = EVERYTHING,
    other_cameras: Flag = False,
    query_camera: Words = None,
    combine: Literal["average", "max"] = "average",
    top: int = 20,
    page: int = 1,
    false_match_rate: float | None = None,
    rerank: Flag = False,
    exact: bool | None = None,
    sheet: Path | None = None,
    detector: DetectorFile = None,
    person_class: PersonClass = None,
    choice: int | None = None,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    json: Json = False,
) -> None:
    """Search a gallery for the person in one or several pictures.

    Args:
        pictures: picture files of one person.
        crop: id of a stored crop to search for; may be repeated.
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default the
            gallery's own.
        other_cameras: leave out crops of the cameras that took the query pictures.
        query_camera: camera that took the query pictures; if repeated, the camera of each. Cameras of stored
            crops are known.
        combine: score of a crop for several pictures: its similarity to their average, or the highest (max).
        top: number of matches on a page.
        page: number of the page, from 1.
        false_match_rate: share of other persons' crops that may count as likely matches (0.001).
        rerank: re-rank the best 200 matches by k-reciprocal neighbours.
        exact: compare every crop in full precision; with --no-exact, only candidates selected by quantized
            vectors or the graph.
        sheet: PNG file; also write the matches there as a contact sheet.
        choice: number of the person in the first picture, from 0, in the order of the detector's scores; by
            default the first.
    """
    from resight.gallery.gallery import Gallery
    from resight.gallery.pictures import read_pixels
    from resight.gallery.sheet import write_sheet

    if page < 1:
        raise UserError(f"--page must be at least 1; got {page}.")
    left_out, cameras = LeftOut(), query_camera or []
    persons = query_persons(pictures, detector, person_class, choice, left_out)
    query = list(persons.values())
    if len(cameras) == len(pictures) > 1:
        cameras = [cameras[number] for number in persons]
    with Gallery.open(gallery, device=device, runtime=runtime) as opened:
        if unknown := sorted({*cameras} - opened.values("camera").keys()):
            say(
                f"Note: the gallery has no crop from the camera '{unknown[0]}', so the mean of all crops "
                "takes the place of that camera's."
            )
        if query and model is not None:
            from resight.inference.loading import load_model

            opened.use(load_model(model, device=device, runtime=runtime))
        found = opened.search(
            [one.pixels for one in query],
            crops=crop or (),
            combine=combine,
            top=top,
            offset=(page - 1) * top,
            where=which.filter(),
            other_cameras=other_cameras,
            cameras=cameras,
            false_match_rate=false_match_rate,
            rerank=rerank,
            exact=exact,
        )
        if sheet is not None:
            shown = [(match, read_pixels(opened.picture(match.crop.id))) for match in found.matches]
            stored = [opened.picture(identity) for identity in crop or ()]
            queries = [read_pixels(one) for one in stored] + [one.pixels for one in query]
            write_sheet(
                sheet,
                queries,
                shown,
                title=output.sheet_title(gallery, found),
                note=output.threshold_line(found),
                first=found.offset + 1,
                zone=which.zone,
            )
            say(f"Contact sheet: {sheet}")
    if json:
        seen = query[0].as_dict() if query else {}
        said = {"gallery": gallery, "page": page, "left_out": left_out.as_list()}
        print_json(found.as_dict() | seen | said)
    else:
        output.print_found(found, gallery, which.zone)
        print_left_out(left_out)
