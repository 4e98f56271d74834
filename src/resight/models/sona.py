"""SONA-Net: second-order non-local attention and a branch with dropped blocks (Xia et al., ICCV 2019)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.models.dropblock import DROPS, DropPart
from resight.models.heads import Head
from resight.models.network import MODELS, Descriptor, Views
from resight.models.pooling import pooled
from resight.models.representation import Representation
from resight.models.trunk import AttentionParts, Attentions, TrunkNetwork, TrunkPart
from resight.models.trunks.resnet import Bottleneck
from resight.models.trunks.start import initialise

Extent = Annotated[int, Field(ge=32)]
Size = Annotated[int, Field(ge=1)]

DILATED_RESNET_50: Mapping[str, Any] = {
    "name": "resnet",
    "depth": 50,
    "strides": (1, 2, 1, 1),
    "dilations": (1, 1, 2, 4),
}
"""384x128 pixels give 48x16x2048 (Section 2.1)."""

LAYER2: Mapping[str, Any] = {"layer2": "second-order"}
LAYER3: Mapping[str, Any] = {"layer3": "second-order"}
DROPBLOCK_PLUS: Mapping[str, Any] = {"name": "dropblock+"}


@MODELS.register("sona")
class SONA(TrunkNetwork):
    """A global and a local branch over a trunk with attention in its early layers (Fig. 2).

    Global: average over positions, 1x1 convolution to 512, batch normalisation and ReLU. Local: a ResNet
    bottleneck, dropped blocks, maximum over positions, 1x1 convolution to 1,024, batch normalisation and
    ReLU. A 1x1 convolution of pooled features is a fully-connected layer, and is one here.

    Where the paper is silent: at test time the branches' embeddings are concatenated unscaled (``raw``) and
    averaged over the crop and its mirror image; the bottleneck has the same form as in the trunk, a quarter
    of the width inside and the identity as shortcut, and starts from random weights; for attention after the
    last layer, each branch has its own module.

    Representation: branches ``global`` and ``local``, features of every layer, maps and masks of the
    attention.

    Args:
        num_persons: number of identity classes.
        trunk: computes the features; the branches use its number of channels.
        attention: modules after the trunk's layers: SONA^2 after ``layer2``, SONA^3 after ``layer3``.
        branch_attention: modules after the trunk's last layer on one branch only, ``global`` or ``local``
            (Section 3.4).
        drop: of the local branch in training: ``dropblock+``, ``dropblock``, ``bfe``, or None (BL in
            Table 5).
        local: have a local branch.
        classifier: have identity classifiers; a recipe without cross-entropy needs none.
        global_size, local_size: of the embeddings.
        input_size: height and width of the crops in pixels.
        views, descriptor: of a crop at test time, see ``Network``.
    """

    variants: ClassVar = {
        "sona-2": {"attention": LAYER2},
        "sona-3": {"attention": LAYER3},
        "sona-23": {"attention": {**LAYER2, **LAYER3}},
        "sona-4-global": {"attention": None, "branch_attention": {"global": "second-order"}},
        "sona-4-local": {"attention": None, "branch_attention": {"local": "second-order"}},
        "sona-4": {
            "attention": None,
            "branch_attention": dict.fromkeys(("global", "local"), "second-order"),
        },
        "sona-baseline": {"attention": None, "drop": None},
    }

    def __init__(
        self,
        num_persons: int,
        *,
        trunk: TrunkPart = DILATED_RESNET_50,
        attention: AttentionParts = LAYER2,
        branch_attention: AttentionParts = None,
        drop: DropPart = DROPBLOCK_PLUS,
        local: bool = True,
        classifier: bool = True,
        global_size: Size = 512,
        local_size: Size = 1024,
        input_size: tuple[Extent, Extent] = (384, 128),
        views: Views = "mirror",
        descriptor: Descriptor = "raw",
    ) -> None:
        super().__init__(trunk, attention, input_size, views, descriptor)
        width, classes = self.out_channels, num_persons if classifier else None
        branches = ("global", "local") if local else ("global",)
        self.branch_attentions = Attentions(
            dict.fromkeys(branches, width), branch_attention, "branch_attention", "branch"
        )
        self.global_head = Head(width, global_size, classes)
        self.local_head = None
        if local:
            inside = width // Bottleneck.expansion
            self.bottleneck = Bottleneck(width, inside)
            initialise(self.bottleneck)
            self.drop = nn.Identity() if drop is None else DROPS.make(drop)
            self.local_head = Head(Bottleneck.expansion * inside, local_size, classes)

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]."""
        features, found = self.forward_features(images)
        attended = self.branch_attentions.attend("global", features, found)
        found.branches["global"] = self.global_head(pooled(attended))
        if self.local_head is not None:
            attended = self.branch_attentions.attend("local", features, found)
            kept = self.drop(self.bottleneck(attended))
            # not amax, whose gradient takes ten times as long on a CPU
            greatest = functional.adaptive_max_pool2d(kept, 1).flatten(1)
            found.branches["local"] = self.local_head(greatest)
        return found
