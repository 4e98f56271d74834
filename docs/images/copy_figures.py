r"""Copy the figures of the README and of docs/methods here: drawn people that no run has trained on.

resight demo --train
resight explain runs/demo/run --each 1
resight synthesize people --persons 70 --test-persons 30 --cameras 4 --crops 3 --height 128 --seed 5
for recipe in sal-fast sona-2-fast sharp-fast sn-fast; do
    resight train $recipe --data people
done
resight train sal-fast --data people --out runs/sal-without \
    --set stages.0.objective.1.weight=0 --set stages.1.objective.1.weight=0
resight explain runs/sal-fast runs/sal-without --each 1 --out runs/sal-compared
resight explain runs/sona-2-fast
resight explain runs/sharp-fast --crop 0041_c1s1_000001_01.jpg \
    --crop 0051_c2s1_000001_01.jpg --crop 0059_c3s1_000001_01.jpg
resight explain runs/sn-fast
python docs/images/copy_figures.py runs
"""

import sys
from pathlib import Path

from PIL import Image

FIGURES = {
    "ranked-lists": "demo/run/explanation/lists",
    "han": "demo/run/explanation/attention",
    "sal": "sal-compared/attention",
    "sona": "sona-2-fast/explanation/points",
    "sharp": "sharp-fast/explanation/masks",
    "sn": "sn-fast/explanation/tsne",
}
WIDEST = 1140


def main(runs: Path) -> None:
    """Shrink each figure to the docs' width and to a palette, which makes the file a third as large."""
    for name, figure in FIGURES.items():
        picture = Image.open(runs / f"{figure}.png").convert("RGB")
        picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
        palette = picture.quantize(256, kmeans=1, dither=Image.Dither.NONE)
        palette.save(Path(__file__).with_name(f"{name}.png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
