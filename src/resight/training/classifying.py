"""Testing a model on a classification: name the class of each picture, count how often it is right."""

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

    In float32 whatever a recipe trains in: in bfloat16 several classes often score the same.

    Args:
        model: a network with a classifier for each of the data set's classes; it stays as it is.
        data: with a test part.
        device: name, or ``auto``.
        batch_size: pictures at once.

    Raises:
        UserError: the model has no classifier, or one of another number of classes.
    """
    if model.num_persons != len(data.classes):
        raise UserError(
            f"The model tells {model.num_persons:,} classes or persons apart; {data.root} has "
            f"{len(data.classes)} classes. Name a run that was trained on these classes."
        )
    pixels = resized(data.test.pixels, model.picture_size)
    embedder = PixelEmbedder(model, device=resolve_device(device), precision="float32", batch_size=batch_size)
    return score_classes(embedder.classify(pixels), torch.from_numpy(data.test.classes))
