"""Counting the files in a data set's folder that are none of its crops."""

from collections.abc import Iterable

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.folders import list_images
from resight.left_out import LeftOut


def everything(benchmark: Benchmark) -> tuple[Crop, ...]:
    """Return the crops of all parts; a crop may be in several."""
    return (*benchmark.train, *benchmark.query, *benchmark.gallery, *benchmark.query_pool)


def count_left_out(read: Benchmark, used: Iterable[Crop], why: str) -> LeftOut:
    """Count the files below the folder of a data set that are not used, by reason.

    With the number of files that are used, the counts add up to the number of files. A set that was unpacked
    from an archive has no files to count.

    Args:
        read: as its reader returned it.
        used: the crops that are used.
        why: reason for the other crops, unless they are junk or distractors.
    """
    left_out = LeftOut()
    if read.unpacked is not None:
        return left_out
    paths = {str(crop.path) for crop in used}
    crops = {name: crop for crop in everything(read) if (name := str(crop.path)) not in paths}
    start = len(str(read.root / "x")) - 1
    for name in list_images(read.root, deep=True, left_out=left_out).names:
        if name not in paths:
            example = name[start:]
            folder = example.partition("/")[0]
            if name in crops:
                reason = why if crops[name].person > 0 else "junk or a distractor, not in a gallery"
            elif folder != example:
                reason = f"a picture in '{folder}' that is no crop of the set"
            else:
                reason = "a picture beside the folders of crops"
            left_out.add(reason, example)
    return left_out
