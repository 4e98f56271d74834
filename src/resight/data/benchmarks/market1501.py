"""Market-1501 itself (Zheng et al., ICCV 2015), with its published counts."""

from dataclasses import replace
from pathlib import Path

from resight.data.benchmark import Benchmark, DataSource, Published, PublishedCounts
from resight.data.benchmarks.market_layout import MarketLayout, first_names
from resight.data.opening import READERS, is_named

COUNTS = {
    "train": PublishedCounts(12936, 751),
    "query": PublishedCounts(3368, 750),
    "gallery": PublishedCounts(19732, 750, junk=3819, distractors=2798),
}
WITH_500K = COUNTS | {"gallery": PublishedCounts(519732, 750, junk=3819, distractors=502798)}


@READERS.register("market-1501")
class Market1501(MarketLayout):
    """Market-1501: 1,501 persons, 6 cameras; single or pooled queries, with or without 500,000 distractors.

    Args:
        queries: single: each query crop alone. average, max: the features of all crops of its person
            under its camera in gt_bbox, pooled ("multi-query").
        distractors: add the crops in distractors_500k to the gallery, each as a distractor.
    """

    source = DataSource(
        "Market-1501",
        "https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
        "For research; the terms are in the archive's readme.txt.",
    )

    def recognises(self, root: Path) -> bool:
        """Return whether the folder has the layout and the set's name: other sets have the same layout."""
        return is_named(root, "market1501") and bool(first_names(root))

    def read(self, root: Path) -> Benchmark:
        """Return the parts that are there (see ``MarketLayout``)."""
        wanted, other = (WITH_500K, COUNTS) if self.distractors else (COUNTS, WITH_500K)
        mixup = (
            "The distractors are missing: only bounding_box_test is there."
            if self.distractors
            else "The 500,000 distractors are in bounding_box_test: they belong in distractors_500k."
        )
        return replace(super().read(root), published=Published(self.source, wanted, {mixup: other}))
