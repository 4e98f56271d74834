"""How trunks begin where no weights are loaded."""

from torch import nn


def initialise(trunk: nn.Module) -> None:
    """Draw all convolutions as He et al. (ICCV 2015) do, keeping the variance of gradients ("fan out")."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
