"""Write the model that comes with Resight: a run's weights, in float16 and without identity classifiers.

python scripts/package_model.py RUN

Replaces weights.safetensors and model.json in src/resight/packaged/drawn-people. Its card,
docs/guides/packaged-model.md, is written by hand.
"""

import argparse
from pathlib import Path

import torch

from resight.inference.loading import load_model
from resight.inference.model_folder import WEIGHTS, ModelSettings, preprocessing_of, write_settings
from resight.models.packaged import FOLDER, NAME
from resight.models.weights import load_weights, save_weights
from resight.training.adapting import without_classifiers


def main() -> None:
    """Write the folder, and print its size and how much float16 changes the vectors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    loaded = load_model(parser.parse_args().run)
    network = without_classifiers(loaded.need_network("to package a model")).eval()
    network.trained_cameras = ()  # of drawn people: numbers that users' cameras could have, too
    crops = torch.rand(4, 3, *network.input_size)
    with torch.inference_mode():
        before = network.embed(crops)
        FOLDER.mkdir(parents=True, exist_ok=True)
        save_weights(network, FOLDER / WEIGHTS, torch.float16)
        after = load_weights(FOLDER / WEIGHTS, torch.device("cpu")).embed(crops)
    write_settings(
        ModelSettings(
            name=NAME,
            source=loaded.name,
            architecture=network.name,
            preprocessing=preprocessing_of(network, loaded.resizing),
        ),
        FOLDER,
    )
    size = (FOLDER / WEIGHTS).stat().st_size
    cosine = torch.nn.functional.cosine_similarity(before, after).min()
    print(f"{FOLDER}: {size / 1e6:.2f} MB; smallest cosine to the vectors in float32: {cosine:.6f}")


if __name__ == "__main__":
    main()
