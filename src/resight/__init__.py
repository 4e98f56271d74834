"""Resight: find the same person again in other cameras' pictures.

The packages follow the path of the data (docs/architecture.md): ``data`` -> ``people`` -> ``models`` ->
``losses`` -> ``evaluation`` -> ``training`` -> ``inference`` -> ``features`` -> ``report`` -> ``gallery``;
each imports only from those before it. What most programs need can be imported from here; each part is loaded
when it is first used, so that ``import resight`` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resight.data.opening import open_benchmark, open_data
    from resight.evaluation.embedded import Embedded
    from resight.evaluation.scores import evaluate
    from resight.features.crop_list import crops_to_embed
    from resight.features.embedding import embed_crops
    from resight.gallery.gallery import Gallery
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model
    from resight.models.network import build_model
    from resight.models.weights import load_weights, save_weights
    from resight.training.reading import load_recipe
    from resight.training.run import Run
    from resight.training.testing import embed_benchmark
    from resight.training.trainer import train

_MODULES = {
    "open_benchmark": "resight.data.opening",
    "open_data": "resight.data.opening",
    "Embedded": "resight.evaluation.embedded",
    "evaluate": "resight.evaluation.scores",
    "crops_to_embed": "resight.features.crop_list",
    "embed_crops": "resight.features.embedding",
    "Gallery": "resight.gallery.gallery",
    "Embedder": "resight.inference.embedder",
    "load_model": "resight.inference.loading",
    "build_model": "resight.models.network",
    "load_weights": "resight.models.weights",
    "save_weights": "resight.models.weights",
    "load_recipe": "resight.training.reading",
    "Run": "resight.training.run",
    "embed_benchmark": "resight.training.testing",
    "train": "resight.training.trainer",
}

__all__ = [
    "Embedded",
    "Embedder",
    "Gallery",
    "Run",
    "build_model",
    "crops_to_embed",
    "embed_benchmark",
    "embed_crops",
    "evaluate",
    "load_model",
    "load_recipe",
    "load_weights",
    "open_benchmark",
    "open_data",
    "save_weights",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'resight' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)
