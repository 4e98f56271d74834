"""A made-up scene: people of ``resight.people`` pass over an empty place; and a detector that finds them."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from resight.people.crops import World

HEIGHT, WIDTH = 256, 320
TALL, WIDE = 64, 32
GROUND = 114


@dataclass(frozen=True)
class Walker:
    """Someone who crosses the scene at a steady pace: pixels of its box's top left corner, frames."""

    person: int
    left: float
    top: float
    pace: float
    first: int = 0
    last: int = 10_000

    def box(self, index: int) -> tuple[float, float, float, float] | None:
        left = self.left + self.pace * (index - self.first)
        if not self.first <= index <= self.last or not 0 <= left <= WIDTH - WIDE:
            return None
        return left, self.top, left + WIDE, self.top + TALL


@cache
def look(person: int) -> NDArray[np.uint8]:
    """Return a picture of a person that no pixel of the ground's grey hides."""
    pixels = np.asarray(World(5, TALL).crop(person, 0, 0, 0).image).astype(int)
    near = np.abs(pixels - GROUND).max(axis=2, keepdims=True) < 40
    return np.clip(np.where(near, pixels + 60, pixels), 0, 255).astype(np.uint8)


def draw(walkers: list[Walker], index: int) -> NDArray[np.uint8]:
    """Draw a frame; those with the lowest feet stand in front."""
    frame = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    for walker in sorted(walkers, key=lambda each: each.top):
        if (box := walker.box(index)) is not None:
            left, top = round(box[0]), round(box[1])
            frame[top : top + TALL, left : left + WIDE] = look(walker.person)
    return frame


def film(
    path: Path,
    frames: list[NDArray[np.uint8]],
    *,
    rate: int = 10,
    codec: str = "mpeg4",
    created: str | None = None,
    title: str | None = None,
    aspect: Fraction | None = None,
    first: int = 0,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video.

    Args:
        path: of the file.
        frames: uint8 [H, W, 3] each.
        rate: frames per second.
        codec: FFmpeg's name.
        created, title: in its metadata.
        aspect: width of a pixel divided by its height.
        first: number of the first frame on the file's clock.
        b_frames: most frames in a row that are stored after a later one.
        options: of the codec.
    """
    import av

    with av.open(str(path), "w") as container:
        for key, value in (("creation_time", created), ("title", title)):
            if value is not None:
                container.metadata[key] = value
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, pixels in enumerate(frames, first):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def detector_file(path: Path) -> Path:
    """Write a YOLOX-like network: its objectness is how much of a person's box round a cell is no ground."""
    levels = [(HEIGHT // stride) * (WIDTH // stride) for stride in (8, 16, 32)]
    box = np.array([0.5, 0.5, np.log(WIDE / 8), np.log(TALL / 8)], np.float32)
    constants = {
        "ground": np.full((1, 3, 1, 1), GROUND, np.float32),
        "third": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "window": np.full((1, 1, TALL, WIDE), 1 / (TALL * WIDE), np.float32),
        "noise": np.array(12, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "column": np.array([1, -1, 1], np.int64),
        "boxes": np.broadcast_to(box, (1, levels[0], 4)).copy(),
        "certain": np.ones((1, levels[0], 1), np.float32),
        "others": np.zeros((1, levels[1] + levels[2], 6), np.float32),
        "half": np.array(0.5, np.float32),
        "two": np.array(2, np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["images", "ground"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("Conv", ["distance", "third"], ["mean"]),
        helper.make_node("Div", ["mean", "noise"], ["much"]),
        helper.make_node("Clip", ["much", "zero", "one"], ["mask"]),
        helper.make_node(
            "Conv",
            ["mask", "window"],
            ["share"],
            strides=[8, 8],
            # the window of cell 0 is centred on pixel 4
            pads=[TALL // 2 - 4, WIDE // 2 - 4, TALL // 2 - 4, WIDE // 2 - 4],
        ),
        helper.make_node("Sub", ["share", "half"], ["above"]),
        helper.make_node("Mul", ["above", "two"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["found"]),
        helper.make_node("Reshape", ["found", "column"], ["objectness"]),
        helper.make_node("Concat", ["boxes", "objectness", "certain"], ["fine"], axis=2),
        helper.make_node("Concat", ["fine", "others"], ["output"], axis=1),
    ]
    return save_network(path, nodes, constants, [1, 3, HEIGHT, WIDTH], {"output": [1, sum(levels), 6]})


def save_network(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray],
    image: list[int | str],
    outputs: dict[str, list[int]],
) -> Path:
    """Write an ONNX file of one input, ``images``."""
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
