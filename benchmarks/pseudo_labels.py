"""How good the pseudo-labels of ``resight adapt`` are before it trains, on crops whose persons are known.

python benchmarks/pseudo_labels.py MODEL --data FOLDER --pattern PATTERN [--set within=0.6 ...] [--no-cameras]

PATTERN names the groups ``person`` and ``camera``. Prints the number of clusters, the share of the crops in
clusters, the share of these that show the person whom most crops of their cluster show, and how many
links between clusters of two cameras join one person's. Persons are used for nothing else. The last column
is how alike the crops are, as ``labelling.alike`` counts it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from resight.data.crop import DISTRACTOR, Crop
from resight.data.unlabelled import read_unlabelled
from resight.features.crop_list import crops_to_embed
from resight.inference.loading import load_model
from resight.models.embedding import PixelEmbedder
from resight.models.network import Network
from resight.training.labelling import make_labels
from resight.training.reading import load_recipe
from resight.training.unusable import compare_with_drawn


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pattern", required=True)
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--no-cameras", action="store_true", help="as if the cameras were not known")
    options = parser.parse_args()
    listed = crops_to_embed(options.data, part="all", pattern=options.pattern)
    assert listed.persons is not None
    assert listed.cameras is not None
    known = dict(zip(map(str, listed.paths), listed.persons.tolist(), strict=True))
    plain = [
        Crop(path, DISTRACTOR, camera)
        for path, camera in zip(listed.paths, listed.cameras.tolist(), strict=True)
    ]
    loaded = load_model(options.model, device="cpu")
    assert isinstance(loaded.network, Network)
    crops = read_unlabelled(plain, loaded.network.picture_size, how=loaded.resizing)
    persons = torch.tensor([known[name] for name in crops.examples.names])
    embedder = PixelEmbedder(loaded.network, device=torch.device("cpu"), precision="auto")
    assert isinstance(crops.examples.pixels, np.ndarray)
    vectors = embedder.embed(crops.examples.pixels)
    recipe = load_recipe("adapt", [f"labelling.{one}" for one in options.overrides], fitting=False)
    assert recipe.labelling is not None
    crops = replace(crops, cameras=None) if options.no_cameras else crops
    found = make_labels(vectors, crops, recipe.labelling)
    likeness = compare_with_drawn(embedder, crops)
    inside = found.labels >= 0
    own = torch.stack([persons[found.labels == number].mode().values for number in range(len(found.linked))])
    pure = float((own[found.labels[inside]] == persons[inside]).double().mean())
    linked = [own[found.linked == number] for number in found.linked.unique()]
    right = sum(int(len(pair) > 1 and bool((pair == pair[0]).all())) for pair in linked)
    print("| clusters | crops in clusters | of the cluster's person | links | of one person | alike |")
    print("|---:|---:|---:|---:|---:|---:|")
    links = len(found.linked) - found.persons
    print(
        f"| {len(own)} | {found.share:.0%} | {pure:.0%} | {links} | {right / max(1, links):.0%} "
        f"| {likeness.share:.2f} |"
    )


if __name__ == "__main__":
    main()
