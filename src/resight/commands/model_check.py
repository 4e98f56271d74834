"""``resight model check``: tell whether crops are fed to a model as it was made for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Flag, Json
from resight.commands.output import print_json, print_table

if TYPE_CHECKING:
    from resight.report.feeding import Feeding, FeedingCheck


def check(
    model: Path, *, data: Path, reading: DataOptions = DEFAULT, tracks: Flag = False, json: Json = False
) -> None:
    """Tell whether crops are fed to a model as it was made for, in a minute or two.

    Colour orders, value ranges and normalisations are tried on a sample of the crops. The right ones find
    crops of the same person best. A wrong guess costs accuracy and is noticed by nothing else.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
        data: crops with labels; better of people that the model was not trained on.
        tracks: labels are of tracks, such as a folder with one sub-folder for each: two crops of one track
            are taken for one person, whatever their camera.
    """
    from resight.inference.loading import load_model
    from resight.report.feeding import check_feeding

    loaded = load_model(model, device="cpu")
    found = check_feeding(loaded, reading.crops(data, "all", False), tracks=tracks)
    if json:
        print_json(
            {
                "model": str(model),
                "fed_rightly": found.own.as_good,
                "certain": len(found.best) == 1,
                "crops": found.crops,
                "persons": found.persons,
                "ways": [_facts(way) for way in found.ways],
            }
        )
        return
    what = "tracks" if tracks else "persons"
    print_table(
        ("crops are fed as", "mAP", "less than the best (95 % interval)", ""),
        [(way.name, _percent(way.mAP), _lost(way), "the model's own" * way.own) for way in found.ways],
    )
    other = "of other cameras " * found.cross_camera
    print(f"{found.crops:,} crops of {found.persons:,} {what}; each looks for the others {other}of its own.")
    print(verdict(found))


def verdict(found: "FeedingCheck") -> str:
    """Return what the scores say, in words."""
    own, best = found.own, found.best
    if own.as_good:
        if len(best) == 1:
            return f"Crops are fed as the model was made for: {own.name}."
        others = "; ".join(way.name for way in best if not way.own)
        colours = {way.colours for way in best}
        sure = f" All of these take {own.colours.upper()}." if len(colours) == 1 else ""
        return f"Crops are fed as well as can be told: {own.name}. Not worse by this sample: {others}.{sure}"
    options = " ".join(_options(best[0]))
    sure = (
        "" if len(best) == 1 else f" This sample cannot tell it from {'; '.join(w.name for w in best[1:])}."
    )
    lost = "" if own.deficit is None else f" and loses {100 * own.deficit.mean:.1f} points of mAP"
    return (
        f"Crops are not fed as the model was made for: it gets {own.name}{lost}. It was made for "
        f"{best[0].name}.{sure}\nImport it again: resight model import FILE --out FOLDER {options}"
    )


def _options(way: "Feeding") -> list[str]:
    fed = way.preprocessing
    three = {"--mean": fed.mean, "--deviation": fed.deviation}
    return [
        f"--colours {fed.colours}",
        f"--value-range {fed.value_range}",
        *(f"{option} {','.join(f'{value:g}' for value in values)}" for option, values in three.items()),
    ]


def _percent(value: float | None) -> str:
    return "no usable vectors" if value is None else f"{100 * value:.1f}"


def _lost(way: "Feeding") -> str:
    if way.deficit is None:
        return ""
    found = way.deficit
    if found.low is None or found.high is None:
        return f"{100 * found.mean:.1f}"
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _facts(way: "Feeding") -> dict[str, Any]:
    deficit = way.deficit
    return {
        "colours": way.colours,
        "normalisation": way.normalisation,
        "preprocessing": way.preprocessing.model_dump(mode="json"),
        "own": way.own,
        "mAP": way.mAP,
        "as_good_as_the_best": way.as_good,
        "deficit": None
        if deficit is None
        else {"mean": deficit.mean, "low": deficit.low, "high": deficit.high},
    }
