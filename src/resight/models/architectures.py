"""Networks whose weights others publish: our settings for them, and the names of tensors in their files."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resight.imaging import STRETCHED, Resizing
from resight.models.network import Network, build_model
from resight.models.trunks.mobilenet_v2 import ROWS

CLASSIFIER = ("classifier.",)
"""Prefixes of the names of tensors of classifiers."""

EITHER = (*CLASSIFIER, "fc.weight", "fc.bias")
"""The same for ResNets of torchreid or torchvision."""

FINER = (1, 2, 2, 1)
"""Strides of a ResNet whose last layer does not downsample."""


def trunk_names(name: str) -> str:
    """Return the name in torchreid's and torchvision's files of a tensor of our ``pooled``; "" if none."""
    if name.startswith("head.feature."):
        return name.replace("head.feature.", "fc.")
    return name.removeprefix("trunk.") if name.startswith("trunk.") else ""


@dataclass(frozen=True, slots=True)
class CameraVectors:
    """Vectors of the cameras of the training data, one of which is added to the tokens of a crop.

    Attributes:
        name: name of their tensor in the file.
        target: our parameter that takes one up for all crops.
        factor: factor of the vector.
    """

    name: str
    target: str
    factor: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network with weights published by others.

    Attributes:
        settings: settings of our network.
        model: name of our network.
        names: returns the published name of one of our tensors; "" if the files do not have it.
        dropped: prefixes of the names of tensors that embedding does not need, such as classifiers.
        biased: pattern of the published names of layers that have a bias before their batch normalisation,
            where ours have none.
        resizing: how crops are resized for it.
        statistics: mean and deviation of pixels from 0 to 1, the same for all channels; None for ImageNet's.
        cameras: how vectors of cameras are added, if files may have them.
    """

    settings: Mapping[str, Any]
    model: str = "pooled"
    names: Callable[[str], str] = trunk_names
    dropped: tuple[str, ...] = CLASSIFIER
    biased: str = r"fc\.0"
    resizing: Resizing = STRETCHED
    statistics: tuple[float, float] | None = None
    cameras: "CameraVectors | None" = None

    def build(self) -> Network:
        """Return the network, without classifier, in evaluation mode."""
        network = build_model(self.model, 1, **self.settings, classifier=False).eval()
        if self.statistics is not None:
            for buffer, value in zip((network.mean, network.std), self.statistics, strict=True):
                buffer.fill_(value)
        return network


def _osnet(width: float, norm: str = "batch") -> Architecture:
    return Architecture({"trunk": {"name": "osnet", "width": width, "norm": norm}, "head": "fc"})


def _resnet(dropped: tuple[str, ...] = CLASSIFIER, head: str = "pooled", **trunk: Any) -> Architecture:
    return Architecture({"trunk": {"name": "resnet", **trunk}, "head": head}, dropped=dropped)


def _mobilenet(name: str, **trunk: Any) -> Architecture:
    return Architecture({"trunk": {"name": name, **trunk}, "head": "pooled"})


def _fast_reid(kind: str, norm: str) -> Architecture:
    """Return a ResNet-50 of fast-reid (``configs/Base-*.yml`` there): BoT, AGW or SBS."""
    trunk = {"name": "resnet", "stem": "unpadded", "strides": FINER, "norm": norm, "non_local": kind != "bot"}
    learned = {"pool.p": "heads.pool_layer.p"} if kind == "sbs" else {}  # AGW's power is 3, and in no file

    def names(name: str) -> str:
        if name.startswith("head.feature."):
            return name.replace("head.feature.", "heads.bottleneck.")
        return name.replace("trunk.", "backbone.") if name.startswith("trunk.") else learned.get(name, "")

    return Architecture(
        {
            "trunk": trunk,
            "head": "norm",
            "pooling": "mean" if kind == "bot" else "generalised-mean",
            "input_size": (384 if kind == "sbs" else 256, 128),
        },
        names=names,
        dropped=("heads.weight", "heads.classifier.", "heads.cls_layer."),
        resizing=Resizing("bicubic"),
    )


HA_CNN = (
    (r"^stem\.", "conv."),
    (r"^global_blocks\.(\d)\.", lambda found: f"inception{int(found[1]) + 1}."),
    (r"^local_blocks\.(\d)\.", lambda found: f"local_conv{int(found[1]) + 1}."),
    (r"streams\.(\d)", lambda found: f"stream{int(found[1]) + 1}"),
    (r"^soft\.(\d)\.", lambda found: f"ha{int(found[1]) + 1}.soft_attn."),
    (r"^hard\.(\d)\.place\.", lambda found: f"ha{int(found[1]) + 1}.hard_attn.fc."),
    (r"spatial\.conv\.", "spatial_attn.conv1."),
    (r"spatial\.scale\.", "spatial_attn.conv2."),
    (r"channel\.squeeze\.", "channel_attn.conv1."),
    (r"channel\.excite\.", "channel_attn.conv2."),
    (r"\.blend\.", ".conv."),
    (r"^(global|local)_head\.feature\.", r"fc_\1."),
    (r"^(?!fc_)(.*)\.0\.(?=\w+$)", r"\1.conv."),
    (r"^(?!fc_)(.*)\.1\.(?=\w+$)", r"\1.bn."),
)
"""Pattern in the names of our tensors -> what torchreid has there, one after the other."""


def _ha_cnn_names(name: str) -> str:
    if name in ("mean", "std"):
        return ""
    for pattern, instead in HA_CNN:
        name = re.sub(pattern, instead, name)
    return name


def _places() -> list[str]:
    """Return the name in torchreid of each part of MobileNetV2's ``features``."""
    blocks = [f"conv{layer}.{block}" for layer, row in enumerate(ROWS, 2) for block in range(row[2])]
    return ["conv1", *blocks, f"conv{len(ROWS) + 2}"]


PLACES = _places()

PARTS = {
    "conv.0.0": "conv1.conv",
    "conv.0.1": "conv1.bn",
    "conv.1.0": "dwconv2.conv",
    "conv.1.1": "dwconv2.bn",
}
PARTS |= {"conv.2": "conv3.0", "conv.3": "conv3.1", "0": "conv", "1": "bn"}
"""Place in a part of our MobileNetV2 -> in torchreid's."""


def _mobilenet_v2_names(name: str) -> str:
    found = re.fullmatch(r"trunk\.features\.(\d+)\.([\w.]+)\.(\w+)", name)
    return "" if found is None else f"{PLACES[int(found[1])]}.{PARTS[found[2]]}.{found[3]}"


VIT = {
    "transreid": {
        "class_token": "base.cls_token",
        "positions": "base.pos_embed",
        "patches": "base.patch_embed.proj",
        "norm": "base.norm",
        "last": "base.blocks.11",
        "blocks": "base.blocks",
        "qkv": "attn.qkv",
        "out": "attn.proj",
        "widen": "mlp.fc1",
        "narrow": "mlp.fc2",
    },
    "jpm": {"norm": "b1.1", "last": "b1.0", "part": "b2"},
    "clip": {
        "class_token": "class_embedding",
        "positions": "positional_embedding",
        "patches": "conv1",
        "norm_in": "ln_pre",
        "norm": "ln_post",
        "last": "transformer.resblocks.11",
        "blocks": "transformer.resblocks",
        "projection": "proj",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "out": "attn.out_proj",
        "widen": "mlp.c_fc",
        "narrow": "mlp.c_proj",
    },
}
"""Our name of a part -> TransReID's (the second row: with its jigsaw patch module) and CLIP's."""


def _vit(style: str, stride: int, parts: bool = False) -> Architecture:
    clip = style == "clip"
    table = VIT[style] | (VIT["jpm"] if parts else {})

    def names(name: str) -> str:
        if name in ("mean", "std"):
            return ""
        if clip and ".qkv." in name:
            name = name.replace(".qkv.", ".attn.in_proj_")
        found = ".".join(table.get(part, part) for part in name.split("."))
        return f"image_encoder.{found}" if clip else found

    return Architecture(
        {"style": style, "stride": stride, "parts": parts},
        model="vit",
        names=names,
        dropped=(
            *("classifier", "bottleneck", "prompt_learner.", "text_encoder.", "base.fc."),
            *(("base.blocks.11.", "base.norm.") if parts else ()),
        ),
        resizing=STRETCHED,
        statistics=(0.5, 0.5),
        cameras=CameraVectors("cv_embed", "class_token", 1.0)
        if clip
        else CameraVectors("base.sie_embed", "positions", 3.0),
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    **{f"osnet-x{width}": _osnet(width) for width in (1.0, 0.75, 0.5, 0.25)},
    "osnet-ibn-x1.0": _osnet(1.0, "ibn"),
    **{f"osnet-ain-x{width}": _osnet(width, "ain") for width in (1.0, 0.75, 0.5, 0.25)},
    **{f"resnet-{depth}": _resnet(EITHER, depth=depth) for depth in (18, 50, 101)},
    "resnet-50-stride-1": _resnet((), strides=FINER),
    "resnet-50-fc512": _resnet(head="fc", strides=FINER),
    "resnet-50-ibn-a": _resnet(EITHER, norm="ibn-a"),
    "resnet-50-ibn-b": _resnet(EITHER, norm="ibn-b"),
    "mobilenet-v2": _mobilenet("mobilenet-v2"),
    "mobilenet-v3-large": _mobilenet("mobilenet-v3", size="large"),
    "mobilenet-v3-small": _mobilenet("mobilenet-v3", size="small"),
    **{
        f"torchreid-mobilenet-v2-x{width}": Architecture(
            {"trunk": {"name": "mobilenet-v2", "width": width, "form": "torchreid"}, "head": "pooled"},
            names=_mobilenet_v2_names,
        )
        for width in (1.0, 1.4)
    },
    "ha-cnn": Architecture(
        {"version": "ha-cnn", "unit": "inception"},
        model="han",
        names=_ha_cnn_names,
        dropped=("classifier_",),
        biased=r"(.*\.)?conv|fc_(global|local)\.0",
    ),
    **{
        f"{name}-vit-b16{suffix}": _vit(style, stride, name == "transreid-jpm")
        for name, style in (("transreid", "transreid"), ("transreid-jpm", "transreid"), ("clip-reid", "clip"))
        for suffix, stride in (("", 16), ("-stride-12", 12))
    },
    **{
        f"fast-reid-{kind}-resnet-50{suffix}": _fast_reid(kind, norm)
        for kind in ("bot", "agw", "sbs")
        for suffix, norm in (("", "batch"), ("-ibn", "ibn-a"))
    },
}
"""By name. ``resnet-50-stride-1`` has the same tensors as ``resnet-50``, but another stride in layer4."""
