"""``resight gallery``: export, reembed, calibrate, settings, compact."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from resight.commands import gallery_output as output
from resight.commands.gallery_crops import EVERYTHING, FilterOptions
from resight.commands.options import Device, GalleryPlace, Json, RuntimeName
from resight.commands.output import print_json, show
from resight.errors import UserError
from resight.interruption import SAME_COMMAND, resumable
from resight.progress import Bar, say

if TYPE_CHECKING:
    from resight.gallery.gallery import Gallery


def export(
    *, gallery: GalleryPlace, out: Path, which: FilterOptions = EVERYTHING, json: Json = False
) -> None:
    """Write features, labels, pictures and metadata of crops to a new folder.

    'resight score' reads the folder's features.npy, persons.npy and cameras.npy; crops.jsonl has the metadata
    of each row, and pictures/ its JPEG file.

    Args:
        out: folder to write.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        where = which.filter()
        opened.check_filter(where)
        with Bar("Exporting crops", opened.count(where)) as bar:
            count = opened.export(out, where, bar.advance)
    if json:
        print_json({"gallery": gallery, "out": str(out), "crops": count})
    else:
        print(f"{out}: {count:,} crops of {gallery}.")


@resumable(SAME_COMMAND)
def reembed(
    *,
    gallery: GalleryPlace,
    model: Path,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    json: Json = False,
) -> None:
    """Embed all crops of a gallery with another model, from the stored pictures.

    The gallery does not change until all crops are embedded. If the command is killed, run it again to
    resume, and do not add crops before. Afterwards, calibrate the gallery again.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
    """
    from resight.gallery.gallery import Gallery
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model

    with Gallery.open(gallery) as opened:
        embedder = Embedder(load_model(model, device=device, runtime=runtime))
        say(f"Embedding with {embedder.prepare(len(opened))}.")
        with Bar("Embedding crops", len(opened)) as bar:
            count = opened.reembed(embedder, bar.advance)
        result = {
            "gallery": gallery,
            "embedded": count,
            "crops": len(opened),
            "model": opened.metadata.model.describe(),
        }
    if json:
        print_json(result)
    else:
        print(f"{gallery}: {result['crops']:,} crops, now embedded by {result['model']}.")


def calibrate(
    *,
    gallery: GalleryPlace,
    features: Path | None = None,
    false_match_rate: float = 0.001,
    json: Json = False,
) -> None:
    """Measure distance thresholds on labelled crops; searches then mark likely matches.

    Args:
        features: labelled features of the gallery's model, from 'resight embed' or as an .npz archive; by
            default the labelled crops of the gallery itself.
        false_match_rate: for the check, which chooses a threshold on half of the persons and tests it on the
            others.
    """
    from resight.commands.feature_files import embed, read_arrays, read_fingerprint
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if features is None:
            opened.calibrate(false_match_rate=false_match_rate)
        else:
            labelled, found = embed(read_arrays(features)), read_fingerprint(features)
            if found is None:
                say(
                    f"Note: {features} does not say which model computed its features. Make sure that it "
                    "was the gallery's."
                )
            elif found != opened.metadata.model.fingerprint:
                raise UserError(
                    f"The features in {features} are of the model {found[:12]}, the gallery's of "
                    f"{opened.metadata.model.describe()}. Embed the labelled crops with the gallery's model."
                )
            opened.calibrate(labelled, origin=str(features), false_match_rate=false_match_rate)
        calibration = opened.metadata.calibration
    assert calibration is not None
    if json:
        print_json(calibration.model_dump(mode="json"))
    else:
        output.print_calibration(calibration)


def settings(*, gallery: GalleryPlace, camera_normalise: bool, json: Json = False) -> None:
    """Change a gallery's settings.

    Args:
        camera_normalise: remove each camera's mean from the vectors of its crops, so that persons are found
            across cameras; with --no-camera-normalise, put the means back. Afterwards calibrate the gallery
            again.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        opened.normalise_cameras(camera_normalise)
        found = asdict(opened.camera_normalisation())
        line = output.cameras_line(found, len(opened.values("camera")), len(opened))
    if json:
        print_json({"gallery": gallery, "camera_normalise": found})
    else:
        show(f"{gallery}: the cameras' means are {line}.")


def compact(*, gallery: GalleryPlace, json: Json = False) -> None:
    """Free the disk space of deleted crops, and build the search graph of a large gallery.

    If traces of deleted crops are left, everything except the pictures is rewritten. This temporarily needs
    up to twice the disk space of the vectors. If the command is killed, the gallery is unchanged. Clusters
    compact themselves.
    """
    from resight.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if len(opened) > opened.graph_from:
            say(f"Building a graph of {len(opened):,} crops. For 100,000, this takes minutes.")
        before = opened.size()
        compact_with_bar(opened)
        count, facts, after = len(opened), opened.facts(), opened.size()
    if json:
        print_json({"gallery": gallery, "crops": count, **facts, "bytes": after})
    else:
        sizes = (
            ""
            if before is None or after is None
            else f", {before / 1e6:,.0f} MB before, {after / 1e6:,.0f} now"
        )
        print(f"{gallery}: {count:,} crops, {facts['indexed']:,} in the graph{sizes}.")


def compact_with_bar(opened: "Gallery") -> None:
    """Compact a gallery; show a progress bar if it is rewritten."""
    if not opened.metadata.traces:
        opened.compact()
        return
    with Bar("Rewriting the gallery without forgotten crops", len(opened)) as bar:
        opened.compact(bar.advance)
