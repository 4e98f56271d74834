"""``resight model check``: check a model's preprocessing on labelled crops."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.commands.data_options import DEFAULT, DataOptions
from resight.commands.options import Flag, Json
from resight.commands.output import print_json, print_table

if TYPE_CHECKING:
    from resight.report.preprocessing_check import PreprocessingCheck, PreprocessingTrial


def check(
    model: Path, *, data: Path, reading: DataOptions = DEFAULT, tracks: Flag = False, json: Json = False
) -> None:
    """Check whether a model's preprocessing is the one that it was trained with, in a minute or two.

    Colour orders, value ranges and normalisations are tried on a sample of the crops. With the right one,
    crops of the same person find each other best. A wrong one makes the model less accurate, without any
    error.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file.
        data: labelled crops, best of people that the model was not trained on.
        tracks: the labels are of tracks, such as one sub-folder for each: crops of one track show one person,
            and count as matches even if they are from the same camera.
    """
    from resight.inference.loading import load_model
    from resight.report.preprocessing_check import check_preprocessing

    loaded = load_model(model, device="cpu")
    found = check_preprocessing(loaded, reading.crops(data, "all", False), tracks=tracks)
    if json:
        print_json(
            {
                "model": str(model),
                "tied_with_best": found.own.tied,
                "certain": len(found.best) == 1,
                "crops": found.crops,
                "persons": found.persons,
                "trials": [_facts(trial) for trial in found.trials],
            }
        )
        return
    what = "tracks" if tracks else "persons"
    print_table(
        ("preprocessing", "mAP", "below the best (95 % interval)", ""),
        [
            (trial.name, _percent(trial.mAP), _lost(trial), "the model's own" * trial.own)
            for trial in found.trials
        ],
    )
    other = " of other cameras" * found.cross_camera
    print(f"{found.crops:,} crops of {found.persons:,} {what}; each is compared with all others{other}.")
    print(verdict(found))


def verdict(found: "PreprocessingCheck") -> str:
    """Return what the scores mean, for users."""
    own, best = found.own, found.best
    if own.tied:
        if len(best) == 1:
            return f"The model's preprocessing is the best: {own.name}."
        others = "; ".join(trial.name for trial in best if not trial.own)
        colours = {trial.colours for trial in best}
        sure = f" All of these take {own.colours.upper()}." if len(colours) == 1 else ""
        return (
            f"The model's preprocessing, {own.name}, is as good as any. This sample cannot distinguish it "
            f"from: {others}.{sure}"
        )
    options = " ".join(_options(best[0]))
    sure = (
        ""
        if len(best) == 1
        else f" This sample cannot distinguish it from {'; '.join(w.name for w in best[1:])}."
    )
    lost = "" if own.deficit is None else f" and loses {100 * own.deficit.mean:.1f} points of mAP"
    return (
        f"The model's preprocessing is wrong: it is {own.name}{lost}. The best is {best[0].name}.{sure}\n"
        f"Import it again: resight model import FILE --out FOLDER {options}"
    )


def _options(trial: "PreprocessingTrial") -> list[str]:
    fed = trial.preprocessing
    three = {"--mean": fed.mean, "--deviation": fed.deviation}
    return [
        f"--colours {fed.colours}",
        f"--value-range {fed.value_range}",
        *(f"{option} {','.join(f'{value:g}' for value in values)}" for option, values in three.items()),
    ]


def _percent(value: float | None) -> str:
    return "no usable vectors" if value is None else f"{100 * value:.1f}"


def _lost(trial: "PreprocessingTrial") -> str:
    if trial.deficit is None:
        return ""
    found = trial.deficit
    if found.low is None or found.high is None:
        return f"{100 * found.mean:.1f}"
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _facts(trial: "PreprocessingTrial") -> dict[str, Any]:
    deficit = trial.deficit
    return {
        "colours": trial.colours,
        "normalisation": trial.normalisation,
        "preprocessing": trial.preprocessing.model_dump(mode="json"),
        "own": trial.own,
        "mAP": trial.mAP,
        "tied_with_best": trial.tied,
        "deficit": None
        if deficit is None
        else {"mean": deficit.mean, "low": deficit.low, "high": deficit.high},
    }
