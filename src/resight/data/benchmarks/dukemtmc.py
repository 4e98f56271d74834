"""DukeMTMC-reID (Zheng et al., ICCV 2017), for those who have a copy."""

import re
from dataclasses import replace
from pathlib import Path

from resight.data.benchmark import Benchmark, DataSource, Published, PublishedCounts
from resight.data.benchmarks.market_layout import first_names, read_parts
from resight.data.opening import READERS

NAME = re.compile(r"(?P<person>\d+)_c(?P<camera>\d+)_f\d+\.(?:jpg|jpeg|png)", re.IGNORECASE)

COUNTS = {
    "train": PublishedCounts(16522, 702),
    "query": PublishedCounts(2228, 702),
    "gallery": PublishedCounts(17661, 1110),
}


@READERS.register("dukemtmc-reid")
class DukeMTMC:
    """DukeMTMC-reID: 1,404 persons and 408 more in the gallery, 8 cameras; withdrawn by its authors."""

    source = DataSource(
        "DukeMTMC-reID",
        "https://exposing.ai/duke_mtmc/ (its history; it is no longer published)",
        "Withdrawn by its authors in 2019: there are no terms for obtaining or sharing it.",
        "DukeMTMC was withdrawn by its authors in 2019, as the people in it had not agreed to be recorded. "
        "Consider whether to use your copy, and mention this where you report a figure.",
    )

    def recognises(self, root: Path) -> bool:
        """Return whether the parts are there, with its file names."""
        return any(map(NAME.fullmatch, first_names(root)))

    def read(self, root: Path) -> Benchmark:
        """Return the parts that are there.

        Raises:
            UserError: names are of another form.
        """
        benchmark = read_parts(root, NAME, "PPPP_cC_fFFFFFFF.jpg (person, camera, frame)")
        notes = (*benchmark.notes, self.source.note)
        return replace(benchmark, notes=notes, published=Published(self.source, COUNTS))
