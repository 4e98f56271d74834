"""From pooled features to an embedding and the scores of the training persons."""

from typing import Literal

from torch import Tensor, nn

from resight.models.representation import Branch

HIDDEN = 1024
"""Width of the TriNet head's first layer."""

HeadKind = Literal["pooled", "norm", "linear", "fc-norm", "fc", "trinet"]
"""How the embedding is made: the pooled features themselves; batch normalisation; a fully-connected layer;
one with batch normalisation; one with batch normalisation and ReLU; or TriNet's two, the first of 1,024 with
batch normalisation and ReLU."""

UNSIZED: tuple[HeadKind, ...] = ("pooled", "norm")
"""Heads whose embeddings have the size of the pooled features."""


class Classifier(nn.Linear):
    """Identity classifier: for training, not for embedding; not included in the cost of a network."""


class Head(nn.Module):
    """Layers that make the embedding, and a classifier that scores it.

    Args:
        inputs: channels of the pooled features.
        outputs: size of the embedding; with ``pooled`` and ``norm``, that of the inputs.
        num_persons: number of identity classes; None for a head without classifier.
        kind: of the layers.
    """

    def __init__(self, inputs: int, outputs: int, num_persons: int | None, kind: HeadKind = "fc") -> None:
        super().__init__()
        self.feature = _layers(kind, inputs, outputs)
        self.classifier = None if num_persons is None else Classifier(outputs, num_persons)

    def forward(self, pooled: Tensor) -> Branch:
        """Return embedding [B, outputs] and logits [B, persons] for pooled features [B, inputs]."""
        embedding = self.feature(pooled)
        return Branch(embedding, None if self.classifier is None else self.classifier(embedding))


def _layers(kind: HeadKind, inputs: int, outputs: int) -> nn.Module:
    if kind == "pooled":
        return nn.Identity()
    if kind == "norm":
        return nn.Sequential(nn.BatchNorm1d(inputs))
    if kind == "linear":
        return nn.Linear(inputs, outputs)
    width = HIDDEN if kind == "trinet" else outputs
    layers = [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width)]
    layers += [] if kind == "fc-norm" else [nn.ReLU()]
    return nn.Sequential(*layers, *([nn.Linear(width, outputs)] if kind == "trinet" else []))
