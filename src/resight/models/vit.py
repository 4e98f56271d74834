"""Vision transformers (Dosovitskiy et al., ICLR 2021) as TransReID and CLIP-ReID use them."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.errors import UserError
from resight.models.heads import Classifier
from resight.models.network import MODELS, Descriptor, Network, Views
from resight.models.representation import Branch, Representation

Extent = Annotated[int, Field(ge=32)]
Count = Annotated[int, Field(ge=1)]

PARTS = 4
SHIFT, GROUPS = 4, 2
"""Patches are shifted by this number and divided into groups, which are interleaved, before the parts."""

PROJECTED = 2 / 3
"""Size of CLIP's projected features, as a share of the width: 512 of 768."""


@MODELS.register("vit")
class VisionTransformer(Network):
    """A vision transformer whose class token is the descriptor.

    ``transreid`` is TransReID's (He et al., ICCV 2021), with ``parts`` its jigsaw patch module (Sec. 3.2):
    the patches are shifted and shuffled, and one more block sees a quarter of them at a time. ``clip`` is
    CLIP's image encoder as in CLIP-ReID (Li et al., AAAI 2023): its descriptor is the class token beside its
    projection into the space of texts. Cameras' vectors, which both may add to the tokens, are left out.

    Representation: branches ``global``, and ``projected`` (``clip``) or ``part1`` to ``part4`` (``parts``),
    which count a quarter.

    Args:
        num_persons: number of identity classes.
        style: ``transreid`` or ``clip``.
        parts: have the branches of parts; ``transreid`` only.
        width: numbers of a token.
        depth: number of blocks.
        heads: number of heads of attention.
        patch, stride: side of a patch, and distance between patches, in pixels; patches overlap if the
            stride is smaller.
        classifier: have identity classifiers, each after batch normalisation.
        input_size: height and width of the crops in pixels.
        views, descriptor: see ``Network``.

    Raises:
        UserError: ``parts`` with ``clip``, too few patches for them, or a width that the heads do not divide.
    """

    variants: ClassVar = {
        "vit-b16-transreid": {},
        "vit-b16-transreid-jpm": {"parts": True},
        "vit-b16-clip": {"style": "clip"},
    }

    order: Tensor

    def __init__(
        self,
        num_persons: int,
        *,
        style: Literal["transreid", "clip"] = "transreid",
        parts: bool = False,
        width: Annotated[int, Field(ge=6, multiple_of=6)] = 768,
        depth: Annotated[int, Field(ge=2)] = 12,
        heads: Count = 12,
        patch: Count = 16,
        stride: Count = 16,
        classifier: bool = True,
        input_size: tuple[Extent, Extent] = (256, 128),
        views: Views = "one",
        descriptor: Descriptor = "raw",
    ) -> None:
        super().__init__(input_size, views, descriptor)
        clip = style == "clip"
        count = ((input_size[0] - patch) // stride + 1) * ((input_size[1] - patch) // stride + 1)
        if patch > min(input_size):
            raise UserError(f"patch: {patch} is more than the crop has, {input_size[0]} x {input_size[1]}.")
        if width % heads:
            raise UserError(f"heads: the width, {width}, must be a multiple of it; got {heads}.")
        if parts and (clip or count < PARTS):
            raise UserError(
                f"parts: style 'transreid' and {PARTS} patches or more are needed; got '{style}', {count}."
            )
        # the shapes of both are those in the files of either
        self.class_token = nn.Parameter(0.02 * torch.randn((width,) if clip else (1, 1, width)))
        shape = (1 + count, width) if clip else (1, 1 + count, width)
        self.positions = nn.Parameter(0.02 * torch.randn(shape))
        self.patches = nn.Conv2d(3, width, patch, stride, bias=not clip)
        eps = 1e-5 if clip else 1e-6
        self.norm_in = nn.LayerNorm(width, eps) if clip else None
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, eps, clip) for _ in range(depth - 1)))
        self.last, self.norm = TransformerBlock(width, heads, eps, clip), nn.LayerNorm(width, eps)
        sizes = {"global": width}
        if clip:
            sizes["projected"] = round(PROJECTED * width)
            self.projection = nn.Parameter(width**-0.5 * torch.randn(width, sizes["projected"]))
        self.part = (
            nn.Sequential(TransformerBlock(width, heads, eps, clip), nn.LayerNorm(width, eps))
            if parts
            else None
        )
        if parts:
            sizes |= {f"part{number + 1}": width for number in range(PARTS)}
            self.register_buffer("order", _shuffled(count), persistent=False)
        self.classifiers = nn.ModuleDict(  # "global" would be a keyword in the code of torch.export
            {
                f"{branch}_": nn.Sequential(nn.BatchNorm1d(size), Classifier(size, num_persons))
                for branch, size in sizes.items()
                if classifier
            }
        )

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        batch, _, width = tokens.shape
        first = self.class_token.view(1, 1, width).expand(batch, -1, -1)
        tokens = torch.cat([first, tokens], dim=1) + self.positions.view(1, -1, width)
        if self.norm_in is not None:
            tokens = self.norm_in(tokens)
        tokens = self.blocks(tokens)
        whole = self.norm(self.last(tokens)[:, 0])
        embeddings = {"global": whole}
        if self.norm_in is not None:
            embeddings["projected"] = whole @ self.projection
        if self.part is not None:
            few = tokens[:, 1:][:, self.order].view(batch, PARTS, -1, width)
            seen = torch.cat([tokens[:, None, :1].expand(-1, PARTS, -1, -1), few], dim=2).flatten(0, 1)
            found = self.part(seen)[:, 0].view(batch, PARTS, width) / PARTS
            embeddings |= {f"part{number + 1}": found[:, number] for number in range(PARTS)}
        return Representation(
            {
                name: Branch(embedding, self.classifiers[f"{name}_"](embedding) if self.classifiers else None)
                for name, embedding in embeddings.items()
            }
        )


class TransformerBlock(nn.Module):
    """Attention among the tokens, then two linear layers for each; both are added to the tokens.

    Args:
        width: numbers of a token.
        heads: number of heads of attention.
        eps: added to the variance in the normalisations.
        approximate: GELU as x * sigmoid(1.702 x).
    """

    def __init__(self, width: int, heads: int, eps: float, approximate: bool) -> None:
        super().__init__()
        self.heads, self.approximate = heads, approximate
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [B, N, C] for tokens [B, N, C]."""
        batch, count, width = tokens.shape
        split = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, count, width))
        hidden = self.widen(self.norm2(tokens))
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.approximate else functional.gelu(hidden)
        return tokens + self.narrow(hidden)  # type: ignore[no-any-return]


def _shuffled(count: int) -> Tensor:
    """Return the patches of the parts, one part after the other (TransReID, Sec. 3.2)."""
    patches = torch.arange(count).roll(-SHIFT)
    if count % GROUPS:
        patches = torch.cat([patches, patches[-2:-1]])
    return patches.view(GROUPS, -1).t().flatten()[: count // PARTS * PARTS]
