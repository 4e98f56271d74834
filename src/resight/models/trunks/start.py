"""How trunks begin where no weights are loaded."""

from torch import nn


def initialise(trunk: nn.Module) -> None:
    """Draw the convolutions without bias, which batch normalisation follows, as He et al. (ICCV 2015) do.

    By "fan out", which keeps the variance of gradients.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
