"""From pooled features to an embedding and the scores of the training persons."""

from torch import Tensor, nn

from resight.models.representation import Branch


class Classifier(nn.Linear):
    """Identity classifier: a network needs it to train, not to embed; no figure of its cost counts it."""


class Head(nn.Module):
    """Fully-connected layer, batch normalisation and ReLU make the embedding; a classifier scores it.

    Args:
        inputs: channels of the pooled features.
        outputs: size of the embedding.
        persons: number of identity classes.
    """

    def __init__(self, inputs: int, outputs: int, persons: int) -> None:
        super().__init__()
        self.feature = nn.Sequential(
            nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
        )
        self.classifier = Classifier(outputs, persons)

    def forward(self, pooled: Tensor) -> Branch:
        """Return embedding [B, outputs] and logits [B, persons] for pooled features [B, inputs]."""
        embedding = self.feature(pooled)
        return Branch(embedding, self.classifier(embedding))
