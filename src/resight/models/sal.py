"""SAL, self-attention learning (Jiang, Yuan and Wang, BMVC 2018)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError
from resight.models.heads import Head
from resight.models.network import MODELS, Descriptor, Views
from resight.models.pooling import pooled
from resight.models.representation import Representation
from resight.models.trunk import AttentionParts, Attentions, TrunkNetwork, TrunkPart
from resight.models.trunks.resnet import Bottleneck
from resight.models.trunks.start import initialise

Extent = Annotated[int, Field(ge=32)]
Dilation = Annotated[int, Field(ge=1)]

RESNET_50: Mapping[str, Any] = {"name": "resnet", "depth": 50}
DILATED: Mapping[str, Any] = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
UNDILATED: Mapping[str, Any] = {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)}
"""Of ResNet, where a recipe does not set them."""
BEYOND = "layer5"


@MODELS.register("sal")
class SAL(TrunkNetwork):
    """Dilated trunk and another stage; the last three layers are pooled together (Fig. 1).

    The self-attention constraint is a term (``self-attention``) that reads ``features``. Where the paper is
    silent: the last stage is meant against gridding, so its dilations decrease as in DRN, 2, 1, 1. The "last
    convolution's output" of a stage is the stage's output, after its shortcut and ReLU. Without multi-level
    features, only the last layer is pooled: rows 1 to 3 of Table 1 have ``dilated``, ``stage6`` and ``multi``
    off. The fully-connected layer is followed by batch normalisation and ReLU: without them the paper's
    learning rate of 0.1 with momentum ends in infinite losses within some steps. The paper does not normalise
    the test's descriptor, and the ranking losses use raw Euclidean distances: it is ``raw``.

    Representation: branch ``global``; features of every layer, the last stage's as ``layer5``; maps
    ``stage4``, ``stage5`` and, with that stage, ``stage6``: the attention maps of Section 3.2 (Fig. 3), of
    unit norm, for display, without a gradient.

    Args:
        num_persons: number of identity classes.
        trunk: computes the features.
        dilated: layers 3 and 4 keep the resolution by dilations 2 and 4 (DIL); needs a trunk with strides and
            dilations.
        stage6: have the last stage, three bottlenecks with half the trunk's channels, as ``layer5``.
        last_dilations: of its bottlenecks; 4, 4, 4 would continue those of stage 5.
        multi: pool the trunk's last two layers and stage 6 together (Multi).
        head: ``fc``, a fully-connected layer with batch normalisation and ReLU; ``fc-norm``, without
            ReLU; or ``linear``, only the layer.
        feature_size: of the embedding (Sec. 3.1).
        classifier: have an identity classifier; rows 2 and 7 of Table 1 need none.
        attention: modules after any layer, also ``layer5``.
        input_size: height and width of the crops in pixels.
        views, descriptor: of a crop at test time, see ``Network``.

    Raises:
        UserError: the trunk cannot be dilated, or a layer of ``attention`` does not exist.
    """

    variants: ClassVar = {
        "sal": {},
        "sal-plain": {"dilated": False, "stage6": False, "multi": False},
        "sal-cifar": {
            "trunk": {"name": "resnet", "stem": "cifar"},
            "multi": False,
            "input_size": (32, 32),
        },
    }

    def __init__(
        self,
        num_persons: int,
        *,
        trunk: TrunkPart = RESNET_50,
        dilated: bool = True,
        stage6: bool = True,
        last_dilations: tuple[Dilation, Dilation, Dilation] = (2, 1, 1),
        multi: bool = True,
        head: Literal["fc", "fc-norm", "linear"] = "fc",
        feature_size: Annotated[int, Field(ge=1)] = 1024,
        classifier: bool = True,
        attention: AttentionParts = None,
        input_size: tuple[Extent, Extent] = (256, 128),
        views: Views = "one",
        descriptor: Descriptor = "raw",
    ) -> None:
        if dilated and "dilations" not in trunk:
            raise UserError(
                f"dilated: the trunk '{trunk['name']}' has no dilations to set. Take a resnet, or set "
                "dilated to false."
            )
        for key, value in DILATED.items():
            if dilated and tuple(trunk.get(key, value)) not in (UNDILATED[key], value):
                raise UserError(
                    f"dilated: it sets the trunk's {key} to {list(value)}; got {list(trunk[key])}. To choose "
                    "them, set dilated to false."
                )
        super().__init__({**trunk, **DILATED} if dilated else trunk, None, input_size, views, descriptor)
        channels = dict(self.trunk.channels)
        self.stage6 = stage6
        self.levels = [*channels][-2:]
        if stage6:
            self.layer5 = last_stage(self.out_channels, last_dilations)
            channels[BEYOND] = Bottleneck.expansion * (self.out_channels // 8)
            self.levels.append(BEYOND)
        self.attentions = Attentions(channels, attention)
        self.pooled_layers = self.levels if multi else self.levels[-1:]
        self.head = Head(
            sum(channels[layer] for layer in self.pooled_layers),
            feature_size,
            num_persons if classifier else None,
            head,
        )

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]."""
        features, found = self.forward_features(images)
        if self.stage6:
            features = self.attentions.attend(BEYOND, self.layer5(features), found)
            found.features[BEYOND] = features
        # The same as pooling the joined maps, but also for maps of different sizes.
        levels = [pooled(found.features[layer]) for layer in self.pooled_layers]
        found.branches["global"] = self.head(torch.cat(levels, dim=1))
        with torch.no_grad():
            for number, layer in enumerate(self.levels, 4):
                energy = found.energy(layer)
                found.attention[f"stage{number}"] = functional.normalize(energy.flatten(1)).view_as(energy)
        return found


def last_stage(inputs: int, dilations: tuple[int, int, int]) -> nn.Sequential:
    """Return stage 6: three bottlenecks as in stage 5 but with half its channels (Sec. 3.1)."""
    width = inputs // 8
    outputs = Bottleneck.expansion * width
    stage = nn.Sequential(
        *(
            Bottleneck(inputs if number == 0 else outputs, width, dilation=dilation)
            for number, dilation in enumerate(dilations)
        )
    )
    initialise(stage)
    return stage
