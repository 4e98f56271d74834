"""Trunk, attention anywhere, pooling, heads: the baselines, Sharp attention and the network of SN."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from resight.errors import UserError
from resight.models.heads import UNSIZED, Head, HeadKind
from resight.models.network import MODELS, Descriptor, Views
from resight.models.pooling import GeneralisedMean, pooled
from resight.models.representation import Representation
from resight.models.trunk import AttentionParts, TrunkNetwork, TrunkPart

Extent = Annotated[int, Field(ge=32)]

RESNET_50: Mapping[str, Any] = {"name": "resnet", "depth": 50}

SIZES: Mapping[HeadKind, int] = {"linear": 512, "fc-norm": 512, "fc": 512, "trinet": 128}
"""Default sizes of embeddings: OSNet's and TriNet's."""

SHARP_BLOCKS: Mapping[str, Any] = {
    "layer1": {"name": "sharp"},
    "layer2": {"name": "sharp"},
    "layer3": {"name": "sharp"},
    "layer4": {"name": "sharp", "context": False},  # "the highest-level features already" (Sec. IV-C)
}


@MODELS.register("pooled")
class Pooled(TrunkNetwork):
    """A trunk with attention after its layers, global pooling and one head, and more heads for stripes.

    Representation: branches ``global`` and ``stripe1``, ``stripe2`` ... from top to bottom; features of every
    layer; maps and masks of the attention.

    Args:
        num_persons: number of identity classes.
        trunk: computes the features.
        attention: modules after the trunk's layers.
        pooling: ``mean``, or ``generalised-mean`` with a learned power.
        head: ``pooled``, the pooled features are the embedding (SN, Sec. 3.3); ``norm``, with batch
            normalisation (the "BNNeck" of Luo et al., CVPRW 2019); ``fc``, a fully-connected layer with batch
            normalisation and ReLU (OSNet); ``fc-norm``, without ReLU; ``trinet``, 1,024 with batch
            normalisation and ReLU, then ``feature_size`` (TriNet; Sharp attention, Sec. IV-B); ``linear``,
            one layer.
        feature_size: of the embedding (HAN, Fig. 6); 512 by default, 128 with ``trinet``. Not with
            ``pooled`` and ``norm``, which have the trunk's.
        stripes: number of horizontal stripes of the last features that are pooled by themselves, each with
            a head of its own (Sun et al., "Beyond Part Models", ECCV 2018, Sec. 3.2, without global head).
        classifier: have an identity classifier; a recipe without cross-entropy needs none.
        input_size: height and width of the crops in pixels.
        views, descriptor: of a crop at test time, see ``Network``.

    Raises:
        UserError: the head has no size to set, the last map has fewer rows than there are stripes, or a layer
            of ``attention`` does not exist.
    """

    variants: ClassVar = {
        "resnet-50": {},
        "resnet-50-ibn-a": {"trunk": {"name": "resnet", "norm": "ibn-a"}},
        "resnet-50-trinet": {"head": "trinet", "classifier": False},
        "resnet-50-sbs": {
            "trunk": {"name": "resnet", "stem": "unpadded", "strides": (1, 2, 2, 1), "non_local": True},
            "pooling": "generalised-mean",
            "head": "norm",
            "input_size": (384, 128),
        },
        "mobilenet": {"trunk": {"name": "mobilenet"}},
        "mobilenet-v2": {"trunk": {"name": "mobilenet-v2"}},
        "mobilenet-v3-large": {"trunk": {"name": "mobilenet-v3"}},
        "mobilenet-v3-small": {"trunk": {"name": "mobilenet-v3", "size": "small"}},
        "osnet": {"trunk": {"name": "osnet"}, "head": "fc"},
        "osnet-x0.75": {"trunk": {"name": "osnet", "width": 0.75}, "head": "fc"},
        "osnet-x0.5": {"trunk": {"name": "osnet", "width": 0.5}, "head": "fc"},
        "osnet-x0.25": {"trunk": {"name": "osnet", "width": 0.25}, "head": "fc"},
        "osnet-ibn": {"trunk": {"name": "osnet", "norm": "ibn"}, "head": "fc"},
        "osnet-ain": {"trunk": {"name": "osnet", "norm": "ain"}, "head": "fc"},
        "sharp": {"attention": SHARP_BLOCKS, "head": "trinet", "classifier": False, "views": "ten-crop"},
        "sn": {"classifier": False, "descriptor": "unit"},
    }

    def __init__(
        self,
        num_persons: int,
        *,
        trunk: TrunkPart = RESNET_50,
        attention: AttentionParts = None,
        pooling: Literal["mean", "generalised-mean"] = "mean",
        head: HeadKind = "pooled",
        feature_size: Annotated[int, Field(ge=1)] | None = None,
        stripes: Annotated[int, Field(ge=0)] = 0,
        classifier: bool = True,
        input_size: tuple[Extent, Extent] = (256, 128),
        views: Views = "one",
        descriptor: Descriptor = "raw",
    ) -> None:
        super().__init__(trunk, attention, input_size, views, descriptor)
        if head in UNSIZED and feature_size not in (None, self.out_channels):
            raise UserError(
                f"feature_size: with head '{head}' the embedding has the size of the trunk's features, "
                f"{self.out_channels}; got {feature_size}. Take head 'fc' or another one, or leave "
                "feature_size out."
            )
        rows = input_size[0] // max(self.trunk.strides.values())
        if stripes > rows:
            raise UserError(
                f"stripes: the trunk's last map has {rows} rows of positions; got {stripes} stripes. Take "
                "fewer, larger crops or smaller strides."
            )
        self.pool = GeneralisedMean() if pooling == "generalised-mean" else None
        size = self.out_channels if head in UNSIZED else feature_size or SIZES[head]
        persons = num_persons if classifier else None
        self.head = Head(self.out_channels, size, persons, head)
        self.stripes = nn.ModuleList(Head(self.out_channels, size, persons, head) for _ in range(stripes))

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]."""
        features, found = self.forward_features(images)
        pool = self.pool or pooled
        found.branches["global"] = self.head(pool(features))
        for number, head in enumerate(self.stripes):
            stripe = features.tensor_split(len(self.stripes), dim=2)[number]
            found.branches[f"stripe{number + 1}"] = head(pool(stripe))
        return found
