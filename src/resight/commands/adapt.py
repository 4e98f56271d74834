"""``resight adapt``: adapt a model to crops without labels."""

import json as text
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Device, Flag, Json, SkipUnreadable
from resight.commands.output import leave_out, print_json, print_left_out, print_table
from resight.errors import UserError
from resight.files import cache_folder, short_digest, sole_use
from resight.interruption import SAME_COMMAND, resumable
from resight.left_out import LeftOut
from resight.program import command_line
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.crop import Crop
    from resight.features.crop_list import Part
    from resight.gallery.gallery import Gallery

TRACK = re.compile(r"track-\d+")
"""Tag of crops of one track, which 'resight ingest' writes."""


@resumable(SAME_COMMAND)
def adapt(
    model: Path,
    *,
    data: str,
    part: Literal["train", "query", "gallery", "all"] = "all",
    ignore_persons: Flag = False,
    reading: DataOptions = DEFAULT,
    out: Path | None = None,
    recipe: str = "adapt",
    overrides: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    epochs: int | None = None,
    device: Device = "auto",
    skip_unreadable: SkipUnreadable = False,
    json: Json = False,
) -> None:
    """Adapt a model to crops without labels, such as those of one's own cameras.

    Before each epoch, crops that are alike are grouped, and the model is trained to tell the groups apart.
    The weights of the epoch with the highest internal measure are kept, which may be the model's own. If the
    command is killed, run it again to resume.

    Args:
        model: a run, a model folder, or a weights file.
        data: folder of crops, text file of paths, or a gallery. Cameras are used where they are known, in a
            folder by --reader or --pattern; the tracks of a gallery stay together.
        part: part of the data set; all takes every crop.
        ignore_persons: adapt to crops whose persons are known as if they were not.
        out: folder to write, or to continue; adapted/MODEL by default.
        recipe: name of a recipe with 'labelling', or a YAML file.
        overrides: key.path=value, such as labelling.within=0.6; may be repeated.
        epochs: most epochs, instead of the recipe's.
    """
    from resight.data.unlabelled import read_unlabelled
    from resight.inference.loading import load_model
    from resight.inference.model_folder import ModelSettings, preprocessing_of, write_settings
    from resight.models.network import Network
    from resight.training.adapting import adapt as adapt_network
    from resight.training.reading import load_recipe

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("An adaptation runs in one process, and torchrun started several. Start it without.")
    loaded = load_model(model, device="cpu")
    if not isinstance(loaded.network, Network):
        raise UserError(
            f"{model} is an ONNX or OpenVINO graph, which cannot be trained. Import the weights file that it "
            "was exported from, if its architecture is known: "
            f"{command_line('model', 'import', 'WEIGHTS.pth', '--out', 'FOLDER')}; then adapt the folder."
        )
    chosen = load_recipe(recipe, overrides, fitting=False)
    chosen = chosen if epochs is None else chosen.with_epochs(epochs)
    folder = out or Path("adapted") / loaded.name
    left_out = LeftOut()
    with _crops(data, part, ignore_persons, reading, left_out) as (crops, pixels):
        unlabelled = read_unlabelled(
            crops,
            loaded.network.picture_size,
            how=loaded.resizing,
            folder=pixels,
            skip_unreadable=skip_unreadable,
        )
    leave_out(left_out, unlabelled.examples.left_out)
    if unlabelled.cameras is None:
        say("Note: the crops' cameras are not known. Pseudo-labels are better with them.")
        if pixels is None and Path(data).expanduser().is_dir():
            say("To read them from names, give --pattern with a group named camera, or --reader.")
    result = adapt_network(loaded.network, chosen, unlabelled, folder, device=device)
    kept = "the model's own" if result.kept == 0 else f"those after epoch {result.kept}"
    preprocessing = preprocessing_of(loaded.network, loaded.resizing)
    settings = ModelSettings(
        name=loaded.name, source=str(model), architecture=loaded.network.name, preprocessing=preprocessing
    )
    write_settings(settings, folder)
    if json:
        print_json(result.as_dict() | {"left_out": left_out.as_list()})
        return
    columns = ["Epoch", "Clusters", "Links", "Crops in clusters", "Measure"]
    rows = [
        [
            f"{line['epoch']}",
            f"{line['clusters']:,}",
            f"{line['links']:,}",
            f"{line['share']:.0%}",
            f"{line['measure']:.4f}",
        ]
        for line in result.history
    ]
    print_table(columns, rows, title=f"{len(crops):,} crops of {data}")
    print(f"{folder}: the weights are {kept}.")
    print_left_out(left_out)


@contextmanager
def _crops(
    data: str, part: "Part", ignore_persons: bool, reading: DataOptions, left_out: LeftOut
) -> "Iterator[tuple[list[Crop], Path | None]]":
    """Yield the crops of a folder, a list or a gallery, and where to decode them (None: the cache).

    A gallery's pictures and their pixels are in a folder of the cache that is removed at the end: else crops
    that are deleted from the gallery later would remain there.
    """
    from resight.data.crop import DISTRACTOR, Crop
    from resight.gallery.stores.opening import gallery_exists, is_address

    if is_address(data) or gallery_exists(data):
        if given := reading.given() + ["--part"] * (part != "all"):
            raise UserError(f"{' and '.join(given)} can only be given with files; {data} is a gallery.")
        folder = cache_folder() / f"gallery-{short_digest(os.fsencode(os.path.abspath(data)))}"
        with sole_use(folder.with_suffix(".lock"), f"Another process reads {data}: waiting for it."):
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            try:
                yield _of_gallery(data, folder / "crops", ignore_persons), folder / "pixels"
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return
    found = reading.crops(Path(data), part, unlabelled=False)
    if found.persons is not None and not ignore_persons:
        known = len(set(found.persons[found.persons > 0].tolist()))
        raise UserError(
            f"{data} has labels: {known:,} persons in {len(found.paths):,} crops. Training with labels is "
            f"better than adapting without: {command_line('train', 'RECIPE', '--data', data)}. To adapt "
            "all the same, give --ignore-persons."
        )
    for note in found.notes:
        say(f"Note: {note}")
    left_out.update(found.left_out)
    cameras = [None] * len(found.paths) if found.cameras is None else found.cameras.tolist()
    yield [Crop(path, DISTRACTOR, camera) for path, camera in zip(found.paths, cameras, strict=True)], None


def _of_gallery(place: str, folder: Path, ignore_persons: bool) -> "list[Crop]":
    """Write the pictures of a gallery to a new folder; return them with their cameras and tracks."""
    from resight.data.crop import DISTRACTOR, Crop
    from resight.gallery.crops import Filter
    from resight.gallery.gallery import Gallery

    with Gallery.open(place) as opened:
        if not ignore_persons:
            _weigh_labels(opened)
        opened.export(folder, Filter())
    cameras: dict[str | None, int] = {}
    tracks: dict[tuple[str, str, str], int] = {}
    crops = []
    for line in (folder / "crops.jsonl").read_text(encoding="utf-8").splitlines():
        stored = text.loads(line)
        crop = Crop(folder / "pictures" / f"{stored['id']}.jpg", DISTRACTOR, None)
        if stored["camera"] is not None:
            crop = replace(crop, camera=cameras.setdefault(stored["camera"], len(cameras)))
        tag = next((tag for tag in stored["tags"] if TRACK.fullmatch(tag)), None)
        if tag is not None:
            place_of = (stored["camera"] or "", stored["source"], tag)
            crop = replace(crop, track=tracks.setdefault(place_of, len(tracks)))
        crops.append(crop)
    return crops


def _weigh_labels(gallery: "Gallery") -> None:
    """Refuse a gallery of labelled crops; say how many are labelled if others are not.

    Users of the page label some crops of a gallery, which are no reason to train on these alone.
    """
    from resight.gallery.crops import Filter

    labelled, persons = gallery.count(Filter(labelled=True)), len(gallery.values("person"))
    if labelled and labelled == len(gallery):
        raise UserError(
            f"{gallery.place} has labels: {persons:,} persons in {labelled:,} crops. Training with labels is "
            "better than adapting without: download the labelled crops from the page of 'resight serve', "
            f"then {command_line('train', 'RECIPE', '--data', 'FOLDER')}. To adapt all the same, give "
            "--ignore-persons."
        )
    if labelled:
        say(
            f"Note: {labelled:,} of the {len(gallery):,} crops are labelled with {persons:,} persons. The "
            "labels are not used."
        )
