"""Base classes of trunks and of attention modules, and of the networks that combine them."""

import keyword
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator
from torch import Tensor, nn

from resight.errors import UserError, did_you_mean
from resight.models.network import Descriptor, Network, Views
from resight.models.recomputing import recomputed
from resight.models.representation import Representation
from resight.registry import Registry

TRUNKS: Registry["Trunk"] = Registry("trunk", "resight.models.trunks")
ATTENTIONS: Registry["Attention"] = Registry("attention", "resight.models.attention")


class Trunk(nn.Module):
    """A stem and layers: the part of a network before pooling.

    Subclasses are registered by ``@TRUNKS.register("name")``; their settings are keyword-only. A layer is a
    sub-module of that name, or several, listed in ``parts``. Parameters have the names of published weights.

    Attributes:
        channels: layer -> channels of its output, in the order of the layers.
        strides: layer -> pixels of the image per step of its map.
        parts: layer -> paths of its sub-modules, in order.
        imagenet: name of its published ImageNet weights (``models.pretrained``); "" if there are none.
        recomputed: layers whose activations are not kept in training (see ``recompute`` in recipes).
    """

    channels: dict[str, int]
    strides: dict[str, int]
    parts: Mapping[str, Sequence[str]] = {}
    imagenet: str = ""
    recomputed: Collection[str] = ()

    def stem(self, images: Tensor) -> Tensor:
        """Return the input of the first layer for normalised images [B, 3, H, W]."""
        raise TypeError(f"{type(self).__name__} does not define stem()")

    def layer(self, name: str, features: Tensor) -> Tensor:
        """Apply a layer to the output [B, C, H, W] of the one before it, or of the stem."""
        for part in map(self.get_submodule, self.parts.get(name, (name,))):
            for block in part if isinstance(part, nn.Sequential) else [part]:
                features = self.apply_block(name, block, features)
        return features

    def apply_block(self, name: str, block: nn.Module, features: Tensor) -> Tensor:
        """Apply a block of a layer; ``recomputed`` layers keep its input alone."""
        found: Tensor = recomputed(block, features) if name in self.recomputed else block(features)
        return found

    @staticmethod
    def own_names(names: Sequence[str]) -> list[str]:
        """Return the names that a file's tensors have here, where another implementation wrote the file."""
        return list(names)


class Attention(nn.Module):
    """A module that changes a layer's feature map; works after every layer of every network.

    Subclasses are registered by ``@ATTENTIONS.register("name")``; their constructor takes the layer's
    ``channels``, then the settings of a recipe as keyword-only parameters.
    """

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            features: [B, C, H, W].

        Returns:
            The attended features [B, C, H, W], and what was attended to: a map [B, H, W], a mask
            [B, C, H, W], or None.
        """
        raise TypeError(f"{type(self).__name__} does not define forward()")


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, str | Mapping) else value


TrunkPart = Annotated[Mapping[str, Any], BeforeValidator(TRUNKS.complete)]
"""A trunk in a recipe: its name, or ``{name: resnet, depth: 18}``."""

AttentionPart = Annotated[Mapping[str, Any], BeforeValidator(ATTENTIONS.complete)]

AttentionParts = Mapping[str, Annotated[tuple[AttentionPart, ...], BeforeValidator(_one_or_several)]] | None
"""Attention in a recipe: layer -> the module after it, or several in order; None for none."""


class Attentions(nn.Module):
    """The attention modules of a network, by layer.

    Args:
        channels: layer -> channels of its output.
        parts: layer -> the modules after it, as in a recipe.
        setting, place: what messages call the parts and a layer.

    Raises:
        UserError: there is no such layer.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        parts: AttentionParts,
        setting: str = "attention",
        place: str = "layer",
    ) -> None:
        super().__init__()
        for layer, chosen in (parts or {}).items():
            if layer not in channels:
                raise UserError(
                    f"{setting}: the network has no {place} '{layer}'.{did_you_mean(layer, channels)}"
                )
            built = [ATTENTIONS.make(part, channels[layer]) for part in _one_or_several(chosen)]
            self.add_module(_attribute(layer), nn.ModuleList(built))

    def attend(self, layer: str, features: Tensor, found: Representation) -> Tensor:
        """Apply the modules after a layer; record in ``found`` what they attended to.

        The first module's map or mask is recorded under the layer's name, a second one's as ``layer3.2``;
        masks are recorded with the features before them.
        """
        modules = self._modules.get(_attribute(layer))
        if isinstance(modules, nn.ModuleList):
            for number, module in enumerate(modules, 1):
                attended, seen = module(features)
                name = layer if number == 1 else f"{layer}.{number}"
                if attended.shape != features.shape:
                    raise UserError(
                        f"The attention after {name} returned features {list(attended.shape)} for "
                        f"{list(features.shape)}; it must keep the shape."
                    )
                if seen is not None:
                    if seen.shape not in (features.shape, features[:, 0].shape):
                        raise UserError(
                            f"The attention after {name} says that it attended to {list(seen.shape)}; a map "
                            "[B, H, W], a mask [B, C, H, W] or None is expected."
                        )
                    found.attention[name] = seen
                    if seen.dim() == 4:
                        found.masked[name] = features
                features = attended
        return features


class TrunkNetwork(Network):
    """Base of networks with a trunk: runs the layers and the attention between them.

    Representation: ``features`` of every layer after its attention; what the modules attended to.

    Args:
        trunk, attention: as in recipes.
        input_size, views, descriptor: see ``Network``.

    Raises:
        UserError: the input is smaller than the trunk's stride, or a layer of ``attention`` does not exist.
    """

    def __init__(
        self,
        trunk: Mapping[str, Any] | str,
        attention: AttentionParts,
        input_size: tuple[int, int],
        views: Views,
        descriptor: Descriptor,
    ) -> None:
        super().__init__(input_size, views, descriptor)
        self.trunk = TRUNKS.make(trunk)
        least = max(self.trunk.strides.values())
        if min(input_size) < least:
            raise UserError(
                f"input_size: height and width must be at least {least} pixels, one step of the "
                f"trunk's coarsest map; got {input_size[0]} x {input_size[1]}. Take larger crops, or "
                "smaller strides."
            )
        self.attentions = Attentions(self.trunk.channels, attention)

    @property
    def out_channels(self) -> int:
        """Channels of the trunk's last layer."""
        return next(reversed(self.trunk.channels.values()))

    def forward_features(self, images: Tensor) -> tuple[Tensor, Representation]:
        """Return the last layer's features [B, C, H, W], and a representation without branches."""
        found = Representation({})
        features = self.trunk.stem(images)
        for layer in self.trunk.channels:
            features = self.attentions.attend(layer, self.trunk.layer(layer, features), found)
            found.features[layer] = features
        return features, found


def _attribute(layer: str) -> str:
    """Return the name of a layer's modules: ``global`` is a keyword in the code of torch.export."""
    return f"{layer}_" if keyword.iskeyword(layer) else layer
