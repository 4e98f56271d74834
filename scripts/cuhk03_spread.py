"""Link the crops of CUHK03's training half into the split "cuhk03-spread" of docs/reproduction.md.

python scripts/cuhk03_spread.py cuhk03-np/detected/bounding_box_train cuhk03-spread

Every seventh person is tested on; the first crop of each of them under each camera is a query.
"""

import sys
from pathlib import Path


def link(crops: Path, out: Path) -> None:
    """Make the three folders of Market-1501's layout in ``out``, with a link to each crop."""
    files = sorted(crops.glob("????_c*.[jp][pn]g"))
    if not files or out.exists():
        sys.exit(f"{out} is there already." if files else f"{crops} has no crops named as in Market-1501.")
    tested = set(sorted({file.name[:4] for file in files})[6::7])
    seen = set()
    for file in files:
        person, camera = file.name.split("_")[:2]
        part = "bounding_box_train"
        if person in tested:
            part = "query" if (person, camera[:2]) not in seen else "bounding_box_test"
            seen.add((person, camera[:2]))
        (out / part).mkdir(parents=True, exist_ok=True)
        (out / part / file.name).symlink_to(file.resolve())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    link(*map(Path, sys.argv[1:]))
