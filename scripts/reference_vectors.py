"""Write what torchreid's own networks answer to random weights, for tests/models/test_foreign.py.

Run once, in an environment of its own with torch, NumPy and a checkout of torchreid:

    python scripts/torchreid_reference.py DEEP_PERSON_REID tests/models/data/torchreid.npz

The file holds, for each architecture, names and shapes of the tensors and the vectors of two pictures.
Weights and pictures are drawn by tests/models/random_weights.py.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
from random_weights import pictures, random_weights

MODELS = {
    **{f"osnet-x{width}": ("osnet", f"osnet_x{width}") for width in ("1.0", "0.75", "0.5", "0.25")},
    "osnet-ibn-x1.0": ("osnet", "osnet_ibn_x1.0"),
    **{
        f"osnet-ain-x{width}": ("osnet_ain", f"osnet_ain_x{width}")
        for width in ("1.0", "0.75", "0.5", "0.25")
    },
    "resnet-18": ("resnet", "resnet18"),
    "resnet-50": ("resnet", "resnet50"),
    "resnet-50-fc512": ("resnet", "resnet50_fc512"),
    "resnet-50-ibn-a": ("resnet_ibn_a", "resnet50_ibn_a"),
    "resnet-50-ibn-b": ("resnet_ibn_b", "resnet50_ibn_b"),
}
"""Our name -> file and function of torchreid."""


def load(checkout: Path, name: str) -> ModuleType:
    """Import one file, which needs torch alone."""
    spec = importlib.util.spec_from_file_location(name, checkout / "torchreid" / "models" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(checkout: Path, target: Path) -> None:
    arrays = {}
    for ours, (file, function) in MODELS.items():
        make = getattr(load(checkout, file), function.replace(".", "_"))
        model = make(num_classes=7, loss="softmax", pretrained=False).eval()
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        weights = {name: torch.from_numpy(value) for name, value in random_weights(shapes).items()}
        model.load_state_dict(weights)
        with torch.inference_mode():
            arrays[f"{ours} vectors"] = model(torch.from_numpy(pictures())).numpy()
        arrays[f"{ours} shapes"] = np.array(json.dumps(shapes))
        vectors = arrays[f"{ours} vectors"]
        print(
            f"{ours}: {vectors.shape}, deviation {vectors.std():.3f}, of pictures {vectors.std(0).mean():.3f}"
        )
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
