"""Opening data sets to test models on that may have been trained on parts of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resight.data.benchmark import Benchmark
from resight.data.classification import Classification
from resight.data.opening import open_benchmark, open_data
from resight.progress import say
from resight.training.run import Run, trained_crops


def open_test_set(
    path: Path, runs: Sequence[Run | None], **arguments: Any
) -> tuple[Benchmark | Classification, list[set[Path]]]:
    """Open a data set to test on: all of its persons, unless it has a test part or a run was trained on it.

    Args:
        path: the folder.
        runs: the training run of each model; None if it is not known.
        arguments: of ``data.opening.open_data``; with a ``holdout``, these persons are tested.

    Returns:
        The data set, and for each model the crops of the set, of whatever part, that it was trained on.

    Raises:
        UserError: as ``open_data``.
    """
    benchmark = open_data(path, **arguments)
    if not isinstance(benchmark, Benchmark):
        return benchmark, [set() for _ in runs]
    trained = [set() if run is None else trained_crops(run.info["data"], benchmark) for run in runs]
    if arguments.get("holdout") is None and not any(trained) and benchmark.held_out is not None:
        if None in runs:
            unknown = "what the weights were trained on is not known"
            say(f"Note: {unknown}, so these persons may have been among it.")
        persons = {crop.person for crop in (*benchmark.train, *benchmark.query) if crop.person > 0}
        benchmark = open_benchmark(benchmark.root, **arguments | {"holdout": len(persons)})
    return benchmark, trained
