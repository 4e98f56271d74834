"""Opening the data that a model is tested on."""

from pathlib import Path
from typing import TYPE_CHECKING

from resight.commands.data_options import DataOptions
from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.data.benchmark import Benchmark
    from resight.data.classification import Classification
    from resight.training.run import Run


def open_tested(
    data: Path | None, reading: DataOptions, cross_camera: bool, run: "Run | None"
) -> "Benchmark | Classification":
    """Open ``--data`` by ``open_test_set``, by default the run's own data set, and say what is known of it.

    Raises:
        UserError: there are neither data nor a run; options say how to read data that are not given.
    """
    from resight.data.benchmark import Benchmark
    from resight.data.opening import reopen
    from resight.people.on_the_fly import is_drawn
    from resight.training.test_sets import open_test_set

    trained: set[Path] = set()
    if data is not None:
        opened, (trained,) = open_test_set(data, [run], **reading.arguments(), cross_camera=cross_camera)
    elif run is None:
        raise UserError("Name the data to test the weights on: --data FOLDER.")
    else:
        reading.refuse_without_data(
            "Without it, the run is tested on the data set that it was trained on, read in the same way."
        )
        read = run.info["data"]["opened"]
        if is_drawn(Path(read["paths"][0])):
            raise UserError(
                f"The run {run.folder} was trained on people drawn for it, and has no test set. Name "
                "one: --data FOLDER."
            )
        opened = reopen(read)
    for note in opened.notes:
        say(f"Note: {note}")
    if isinstance(opened, Benchmark):
        tested = {crop.path for crop in (*opened.query, *opened.gallery)}
        if both := len(trained & tested):
            say(
                f"Warning: the run was trained on {both:,} of these {len(tested):,} test crops, so the "
                "scores do not show how well it works on new persons."
            )
    return opened
