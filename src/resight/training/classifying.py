"""Testing a model on a classification: predict the class of each picture, and count correct ones."""

import torch

from resight.data.classification import Classification
from resight.data.examples import resized
from resight.device import resolve_device
from resight.errors import UserError
from resight.evaluation.classification import ClassificationScores, score_classes
from resight.models.embedding import PixelEmbedder
from resight.models.network import Network


def classify(
    model: Network,
    data: Classification,
    *,
    device: str = "auto",
    batch_size: int = 64,
) -> ClassificationScores:
    """Score the network's own classifiers on the test pictures.

    In float32, whatever precision a recipe trains in: in bfloat16 several classes often have the same score.

    Args:
        model: a network with a classifier for the data set's classes; it is not changed.
        data: a classification with a test part.
        device: name, or ``auto``.
        batch_size: pictures at once.

    Raises:
        UserError: the model has no classifier, or one for another number of classes.
    """
    if model.num_persons != len(data.classes):
        raise UserError(
            f"The model has {model.num_persons:,} classes or persons; {data.root} has "
            f"{len(data.classes)} classes. Name a run that was trained on these classes."
        )
    pixels = resized(data.test.pixels, model.picture_size)
    embedder = PixelEmbedder(model, device=resolve_device(device), precision="float32", batch_size=batch_size)
    return score_classes(embedder.classify(pixels), torch.from_numpy(data.test.classes))
