"""``resight gallery``: what is done now and then: forgetting, exporting, another model, calibrating."""

from pathlib import Path

from resight.commands import gallery_output as output
from resight.commands.gallery import EVERYTHING, Chosen, Flag, Place
from resight.commands.gallery_crops import Words
from resight.commands.output import print_json
from resight.errors import UserError
from resight.interruption import SAME_COMMAND, resumable
from resight.progress import Bar, say


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


@resumable(SAME_COMMAND)
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
    from resight.inference.loading import load_model

    with Gallery.open(gallery) as opened:
        loaded = load_model(model, device=device)
        with Bar("Embedding crops", len(opened)) as bar:
            count = opened.reembed(loaded, bar.advance)
        told = {
            "gallery": gallery,
            "described": count,
            "crops": len(opened),
            "model": opened.metadata.model.describe(),
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
            elif found != opened.metadata.model.fingerprint:
                raise UserError(
                    f"{features} is of a model with the fingerprint {found[:12]}; the gallery is of "
                    f"{opened.metadata.model.describe()}. Embed the labelled crops with that one."
                )
            labelled = embed(read_arrays(features))
            opened.calibrate(labelled, origin=str(features), false_match_rate=false_match_rate)
        calibration = opened.metadata.calibration
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
        if len(opened) > opened.graph_from:
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
