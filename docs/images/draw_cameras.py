"""Draw docs/images/cameras.png: vectors of drawn people before and after their cameras' means are removed.

resight synthesize people --persons 260 --test-persons 60 --cameras 4 --crops 3 --height 128
resight embed MODEL --data people --part gallery --out features
python docs/images/draw_cameras.py features
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from resight.evaluation.cameras import CameraStatistics, unit_or_zero


def main(folder: Path) -> None:
    """Draw both along the first two principal components, a colour for each camera."""
    vectors, cameras = np.load(folder / "features.npy"), np.load(folder / "cameras.npy")
    vectors = unit_or_zero(vectors.astype(np.float32))
    without = CameraStatistics.fit(vectors, cameras.tolist()).apply(vectors, cameras.tolist())
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), dpi=100)
    for ax, shown, title in zip(axes, (vectors, without), ("as they are", "means removed"), strict=True):
        centred = shown - shown.mean(0)
        places = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        for camera in np.unique(cameras):
            ax.scatter(*places[cameras == camera].T, s=9, label=f"camera {camera}")
        ax.set(title=title, xticks=[], yticks=[])
    axes[1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("cameras.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
