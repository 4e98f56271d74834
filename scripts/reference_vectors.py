"""Write what other toolkits' own networks answer to random weights, for tests/models/test_foreign.py.

Run once for each toolkit, in an environment of its own with torch, NumPy, timm and a checkout of the toolkit:

    python scripts/reference_vectors.py torchreid DEEP_PERSON_REID
    python scripts/reference_vectors.py fast-reid FAST_REID
    python scripts/reference_vectors.py clip-reid CLIP_REID
    python scripts/reference_vectors.py transreid TRANSREID

The files tests/models/data/*.npz hold, for each architecture, names and shapes of the tensors and the vectors
of two pictures; what they hold already is left as it is. Weights and pictures are drawn by
tests/models/random_weights.py.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
from random_weights import REFERENCES, pictures, random_weights

Made = tuple[str, tuple[int, int], Callable[[], nn.Module]]
"""Name of the architecture, size of the pictures, and a function that makes the network."""

TORCHREID = {
    **{f"osnet-x{width}": ("osnet", f"osnet_x{width}") for width in ("1.0", "0.75", "0.5", "0.25")},
    "osnet-ibn-x1.0": ("osnet", "osnet_ibn_x1.0"),
    **{
        f"osnet-ain-x{width}": ("osnet_ain", f"osnet_ain_x{width}")
        for width in ("1.0", "0.75", "0.5", "0.25")
    },
    "resnet-18": ("resnet", "resnet18"),
    "resnet-50": ("resnet", "resnet50"),
    "resnet-50-fc512": ("resnet", "resnet50_fc512"),
    "resnet-50-ibn-a": ("resnet_ibn_a", "resnet50_ibn_a"),
    "resnet-50-ibn-b": ("resnet_ibn_b", "resnet50_ibn_b"),
    "torchreid-mobilenet-v2-x1.0": ("mobilenetv2", "mobilenetv2_x1_0"),
    "torchreid-mobilenet-v2-x1.4": ("mobilenetv2", "mobilenetv2_x1_4"),
    "ha-cnn": ("hacnn", "HACNN"),
}
"""Our name -> file and function of torchreid."""


def torchreid(checkout: Path) -> Iterator[Made]:
    for ours, (file, function) in TORCHREID.items():
        make = getattr(load(checkout / "torchreid" / "models" / f"{file}.py"), function.replace(".", "_"))
        others = {"use_gpu": False} if ours == "ha-cnn" else {"pretrained": False}
        size = (160, 64) if ours == "ha-cnn" else (256, 128)
        yield ours, size, lambda make=make, others=others: make(num_classes=7, loss="softmax", **others)


class FastReid(nn.Module):
    """The parts of fast-reid's ``Baseline`` after the normalisation of pixels."""

    def __init__(self, norm: bool, non_local: bool, pooling: str) -> None:
        super().__init__()
        resnet = importlib.import_module("fastreid.modeling.backbones.resnet")
        heads = importlib.import_module("fastreid.modeling.heads.embedding_head")
        counts = ([3, 4, 6, 3], [0, 2, 3, 0])
        self.backbone = resnet.ResNet(1, "BN", norm, False, non_local, resnet.Bottleneck, *counts)
        self.heads = heads.EmbeddingHead(
            feat_dim=2048,
            embedding_dim=0,
            num_classes=7,
            neck_feat="before",
            pool_type=pooling,
            cls_type="Linear",
            scale=1,
            margin=0,
            with_bnneck=True,
            norm_type="BN",
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.heads(self.backbone(images))


def fast_reid(checkout: Path) -> Iterator[Made]:
    for name in ("fastreid", "fastreid.modeling", "fastreid.modeling.backbones", "fastreid.modeling.heads"):
        package(name, checkout.joinpath(*name.split(".")))
    for name in ("fastreid.utils", "fastreid.utils.checkpoint", "fastreid.utils.comm"):
        sys.modules[name] = MagicMock()
    registry = SimpleNamespace(register=lambda: lambda made: made)
    for name, attribute in (("backbones", "BACKBONE_REGISTRY"), ("heads", "REID_HEADS_REGISTRY")):
        sys.modules[f"fastreid.modeling.{name}.build"] = SimpleNamespace(**{attribute: registry})
    sys.modules["fastreid.config"] = SimpleNamespace(configurable=lambda made: made)
    for kind, non_local, pooling, height in (
        ("bot", False, "GlobalAvgPool", 256),
        ("agw", True, "GeneralizedMeanPooling", 256),
        ("sbs", True, "GeneralizedMeanPoolingP", 384),
    ):
        for suffix in ("", "-ibn"):
            name = f"fast-reid-{kind}-resnet-50{suffix}"
            yield name, (height, 128), lambda rest=(bool(suffix), non_local, pooling): FastReid(*rest)


class ClipReid(nn.Module):
    """The image encoder of CLIP-ReID, and the features that it is tested with ("before" the neck)."""

    def __init__(self, clip: ModuleType, stride: int) -> None:
        super().__init__()
        grid = ((256 - 16) // stride + 1, (128 - 16) // stride + 1)
        self.image_encoder = clip.VisionTransformer(*grid, 16, stride, 768, 12, 12, 512)
        self.classifier = nn.Linear(768, 7, bias=False)
        self.bottleneck = nn.BatchNorm1d(768)

    def forward(self, images: Tensor) -> Tensor:
        _, features, projected = self.image_encoder(images)
        return torch.cat([features[:, 0], projected[:, 0]], dim=1)


def clip_reid(checkout: Path) -> Iterator[Made]:
    clip = load(checkout / "model" / "clip" / "model.py")
    for suffix, stride in (("", 16), ("-stride-12", 12)):
        yield f"clip-reid-vit-b16{suffix}", (256, 128), lambda stride=stride: ClipReid(clip, stride)


def transreid(checkout: Path) -> Iterator[Made]:
    sys.modules["torch._six"] = SimpleNamespace(container_abcs=importlib.import_module("collections.abc"))
    sys.path.insert(0, str(checkout))
    made = importlib.import_module("model.make_model")
    for kind, suffix, stride in (
        ("", "", 16),
        ("-jpm", "", 16),
        ("-jpm", "-stride-12", 12),
    ):
        model = MagicMock(
            COS_LAYER=False,
            NECK="bnneck",
            TRANSFORMER_TYPE="vit_base_patch16_224_TransReID",
            SIE_CAMERA=False,
            SIE_VIEW=False,
            SIE_COE=3.0,
            STRIDE_SIZE=[stride, stride],
            DROP_PATH=0.1,
            DROP_OUT=0.0,
            ATT_DROP_RATE=0.0,
            PRETRAIN_CHOICE="none",
            ID_LOSS_TYPE="softmax",
            JPM=bool(kind),
            RE_ARRANGE=True,
            SHUFFLE_GROUP=2,
            SHIFT_NUM=5,
            DEVIDE_LENGTH=4,
        )
        model.NAME = "transformer"
        settings = SimpleNamespace(
            MODEL=model,
            TEST=SimpleNamespace(NECK_FEAT="before"),
            INPUT=SimpleNamespace(SIZE_TRAIN=[256, 128]),
        )
        name = f"transreid{kind}-vit-b16{suffix}"
        yield name, (256, 128), lambda settings=settings: made.make_model(settings, 7, 0, 0)


def load(path: Path) -> Any:
    """Import one file, which needs torch alone."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, folder: Path) -> None:
    """Make a package whose files can be imported without its ``__init__.py``."""
    module = ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


TOOLKITS = {"torchreid": torchreid, "fast-reid": fast_reid, "clip-reid": clip_reid, "transreid": transreid}


def main(toolkit: str, checkout: Path) -> None:
    target = REFERENCES / f"{toolkit}.npz"
    arrays = dict(np.load(target)) if target.exists() else {}
    for ours, size, make in TOOLKITS[toolkit](checkout):
        if f"{ours} vectors" in arrays:
            continue
        model = make().eval()
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        weights = {name: torch.from_numpy(value) for name, value in random_weights(shapes).items()}
        model.load_state_dict(weights)
        with torch.inference_mode():
            vectors = model(torch.from_numpy(pictures(size=size))).numpy()
        arrays[f"{ours} vectors"] = vectors
        arrays[f"{ours} shapes"] = np.array(json.dumps(shapes))
        print(
            f"{ours}: {vectors.shape}, deviation {vectors.std():.3f}, of both {vectors.std(0).mean():.3f}",
            flush=True,
        )
        np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
