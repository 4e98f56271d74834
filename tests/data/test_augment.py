"""Augmentations: what each changes, what it leaves, and that the generator decides all."""

import math

import numpy as np
import pydantic
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch import Tensor

from resight.data.augment import AUGMENTATIONS, MEAN_COLOUR
from resight.errors import UserError

NAMES = [
    "channel-shuffle",
    "colour-jitter",
    "cutout",
    "mirror",
    "pad-and-crop",
    "random-erasing",
    "random-grey",
    "random-resized-crop",
]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def make_images(count: int = 6, height: int = 24, width: int = 12, seed: int = 0) -> Tensor:
    images = torch.randint(0, 256, (count, 3, height, width), generator=generator(seed)).to(torch.uint8)
    return images.contiguous(memory_format=torch.channels_last)


def test_all_nine_are_registered() -> None:
    assert AUGMENTATIONS.names() == sorted([*NAMES, "downscale"])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, device: str) -> None:
    augment, images = AUGMENTATIONS.build(name), make_images(count=16).to(device)
    before = images.clone()
    changed = augment(images, generator(1, device))
    assert (changed.shape, changed.dtype, changed.device) == (images.shape, torch.uint8, images.device)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert not torch.equal(changed, images)
    assert torch.equal(changed, augment(images, generator(1, device)))
    assert not torch.equal(changed, augment(images, generator(2, device)))
    assert torch.equal(changed, augment(images.contiguous(), generator(1, device)))  # any layout in memory


def test_a_smallest_rectangle_above_the_largest_is_refused() -> None:
    with pytest.raises(UserError, match=r"smallest should be at most largest; got 0\.5 and 0\.4\."):
        AUGMENTATIONS.build("random-erasing", smallest=0.5)


@pytest.mark.parametrize("name", ["colour-jitter", "cutout", "mirror", "random-erasing", "random-grey"])
def test_probability(name: str) -> None:
    images = make_images(count=400, height=8, width=8)
    assert torch.equal(AUGMENTATIONS.build(name, p=0.0)(images, generator()), images)
    half = AUGMENTATIONS.build(name, p=0.5)(images, generator())
    assert 150 < (half != images).flatten(1).any(1).sum() < 250


@pytest.mark.parametrize("device", DEVICES)
def test_downscale_averages_what_becomes_one_pixel(device: str) -> None:
    images = make_images(height=24, width=12).to(device)
    small = AUGMENTATIONS.build("downscale", size=(8, 6))(images, generator(1, device))
    assert (small.shape, small.dtype) == ((6, 3, 8, 6), torch.uint8)
    assert small.is_contiguous(memory_format=torch.channels_last)
    down = torch.zeros(8, 24, dtype=torch.float64, device=device)
    across = torch.zeros(6, 12, dtype=torch.float64, device=device)
    for weights in (down, across):  # triangles of twice the stride, cut off at the edges
        pieces, extent = weights.shape
        stride = extent / pieces
        places = torch.arange(extent) + 0.5
        for piece in range(pieces):
            triangle = (1 - (places - (piece + 0.5) * stride).abs() / stride).clamp(min=0)
            weights[piece] = triangle / triangle.sum()
    expected = down @ images.double() @ across.T
    assert (small.double() - expected).abs().max() < 1.1


def test_mirror_twice_is_the_same() -> None:
    images, mirror = make_images(), AUGMENTATIONS.build("mirror", p=1.0)
    once = mirror(images, generator())
    assert torch.equal(once, images.flip(3))
    assert torch.equal(mirror(once, generator()), images)


@given(st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_pad_and_crop_shifts(padding: int, seed: int) -> None:
    images = make_images(seed=seed).clamp(min=1)  # so that only padding is zero
    changed = AUGMENTATIONS.build("pad-and-crop", padding=padding)(images, generator(seed))
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    for image, source in zip(changed, padded, strict=True):
        windows = [
            (top, left)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            if torch.equal(source[:, top : top + 24, left : left + 12], image)
        ]
        assert windows


def test_pad_and_crop_reaches_every_shift() -> None:
    images = torch.zeros(2000, 3, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 2] = 255
    changed = AUGMENTATIONS.build("pad-and-crop", padding=2)(images, generator())
    places = changed[:, 0].flatten(1).argmax(1).bincount(minlength=25)
    assert (places > 40).all()  # 80 expected of each of the 25


def cut_boxes(count: int, seed: int = 0, aspect: float | None = None, **settings: object) -> Tensor:
    """Return (top, left, bottom, right) [B, 4] of the rectangles that are cut out of 288 x 144 pixels.

    Found from a picture whose colours are its own coordinates. ``aspect`` is that of the files.
    """
    rows = torch.linspace(0, 255, 288).view(-1, 1).expand(288, 144)
    columns = torch.linspace(0, 255, 144).expand(288, 144)
    picture = torch.stack([rows, columns, torch.zeros(288, 144)]).round().to(torch.uint8)
    augment = AUGMENTATIONS.build("random-resized-crop", **settings)
    draw = generator(seed)
    aspects = None if aspect is None else torch.full((100,), aspect)
    images = picture.expand(100, 3, 288, 144)
    cut = torch.cat([augment(images, draw, aspects) for _ in range(count // 100)]).float()
    assert cut.shape == (count, 3, 64, 32)
    down, right = cut[:, 0, :, 0] / 255 * 287, cut[:, 1, 0] / 255 * 143
    half_row = (down[:, -1] - down[:, 0]) / (down.shape[1] - 1) / 2
    half_column = (right[:, -1] - right[:, 0]) / (right.shape[1] - 1) / 2
    edges = [down[:, 0] - half_row, right[:, 0] - half_column]
    edges += [down[:, -1] + half_row, right[:, -1] + half_column]
    return torch.stack(edges, dim=1) + 0.5


def test_random_resized_crop_keeps_to_its_ranges_and_reaches_all_places() -> None:
    top, left, bottom, right = cut_boxes(2000, size=(64, 32)).T
    tall, wide = bottom - top, right - left
    area, aspect = tall * wide / (288 * 144), tall / wide
    assert 0.62 < area.min() < 0.66
    assert 0.94 < area.max() < 1.02
    assert 1.95 < aspect.min() < 2.03
    assert 2.7 < aspect.max() < 3.08  # 3 with an area of 0.64 is just as high as the picture
    assert top.min() > -1
    assert bottom.max() < 289
    assert left.max() > 40
    assert ((top + bottom) / 2 - 144).abs().mean() < 12
    assert ((left + right) / 2).mean() == pytest.approx(72, abs=1)


@pytest.mark.parametrize(("height", "width", "least"), [(220, 60, 0.64 * 220 / 60), (160, 64, 2.0)])
def test_random_resized_crop_keeps_to_its_aspect_in_pictures_of_another_shape(
    height: int, width: int, least: float
) -> None:
    """As of CUHK03; a rectangle of 0.64 of a picture has 0.64 of its aspect or more, to lie inside."""
    top, left, bottom, right = cut_boxes(2000, aspect=height / width, size=(64, 32)).T
    tall, wide = (bottom - top) / 288 * height, (right - left) / 144 * width
    area, aspect = tall * wide / (height * width), tall / wide
    assert least * 0.97 < aspect.min() < least * 1.05
    assert 2.9 < aspect.max() < 3.08
    assert 0.62 < area.min() < 0.67


def test_random_resized_crop_follows_the_loop_that_draws_until_it_fits() -> None:
    random = np.random.default_rng(0)
    expected = []
    while len(expected) < 2000:
        area, aspect = random.uniform(0.64, 1.0) * 288 * 144, random.uniform(2, 3)
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if tall <= 288 and wide <= 144:
            top, left = random.integers(0, 288 - tall + 1), random.integers(0, 144 - wide + 1)
            expected.append((top, left, top + tall, left + wide))
    found, wanted = cut_boxes(2000, size=(64, 32)).numpy(), np.array(expected, dtype=float)
    spread = np.sqrt((found.var(0) + wanted.var(0)) / 2000)
    assert (np.abs(found.mean(0) - wanted.mean(0)) < 4 * spread + 0.1).all()
    np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=0.06)


def test_random_resized_crop_resizes_as_interpolation_does() -> None:
    """Of a rectangle that must be the whole picture, against PyTorch's own; then of a known part."""
    images = make_images(height=18, width=9)
    augment = AUGMENTATIONS.build("random-resized-crop", area=(1, 1), aspect=(2, 2), size=(16, 11))
    resized = torch.nn.functional.interpolate(images.float(), (16, 11), mode="bilinear")
    assert (augment(images, generator()).float() - resized).abs().max() <= 0.51
    # 72 pixels of 162, twice as high as wide: 12 x 6
    part = AUGMENTATIONS.build("random-resized-crop", area=(72 / 162, 72 / 162), aspect=(2, 2), size=(5, 7))
    for image, source in zip(part(images, generator()).float(), images.float(), strict=True):
        parts = [
            torch.nn.functional.interpolate(
                source[None, :, top : top + 12, left : left + 6], (5, 7), mode="bilinear"
            )
            for top in range(7)
            for left in range(4)
        ]
        assert min((image - part).abs().max() for part in parts) <= 0.51


def test_random_resized_crop_takes_the_whole_where_nothing_fits() -> None:
    images = make_images(height=10, width=40)  # no rectangle higher than wide has 64 % of it
    assert torch.equal(AUGMENTATIONS.build("random-resized-crop")(images, generator()), images)


def changed_box(before: Tensor, after: Tensor) -> tuple[int, int, int, int] | None:
    """Return top, left, height and width of what differs in an image [3, H, W]."""
    rows, columns = (before != after).any(0).nonzero().T if not torch.equal(before, after) else ([], [])
    if len(rows) == 0:
        return None
    top, left = int(rows.min()), int(columns.min())
    return top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left


@given(st.integers(0, 999), st.sampled_from(["random", "mean", "black"]))
@settings(deadline=None, max_examples=25)
def test_random_erasing_fills_one_rectangle(seed: int, fill: str) -> None:
    images = torch.full((8, 3, 64, 32), 7, dtype=torch.uint8)
    changed = AUGMENTATIONS.build("random-erasing", p=1.0, fill=fill)(images, generator(seed))
    for before, after in zip(images, changed, strict=True):
        box = changed_box(before, after)
        assert box is not None
        top, left, height, width = box
        inside = after[:, top : top + height, left : left + width]
        if fill != "random":  # there a random value may equal the old one, at the border too
            colour = MEAN_COLOUR if fill == "mean" else (0, 0, 0)
            assert torch.equal(
                inside, torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).expand_as(inside)
            )
            # the sides are rounded to pixels, so area and aspect may lie a little outside their ranges
            assert (height - 0.5) * (width - 0.5) <= 0.4 * 64 * 32
            assert (height + 0.5) * (width + 0.5) >= 0.02 * 64 * 32
            assert (height + 0.5) / (width - 0.5) >= 0.3
            assert (height - 0.5) / (width + 0.5) <= 1 / 0.3
        assert height < 64
        assert width < 32


def test_random_erasing_follows_the_authors_distribution() -> None:
    """Area and place, against the loop of the authors' code."""
    random = np.random.default_rng(0)
    expected = []
    for _ in range(4000):
        while True:
            area, aspect = random.uniform(0.02, 0.4) * 64 * 32, random.uniform(0.3, 1 / 0.3)
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < 64 and width < 32:
                break
        expected.append(
            (random.integers(0, 64 - height + 1), random.integers(0, 32 - width + 1), height, width)
        )
    images = torch.full((4000, 3, 64, 32), 7, dtype=torch.uint8)
    changed = AUGMENTATIONS.build("random-erasing", p=1.0, fill="black")(images, generator())
    boxes = [changed_box(before, after) for before, after in zip(images, changed, strict=True)]
    found, wanted = np.array(boxes, dtype=float), np.array(expected, dtype=float)
    spread = np.sqrt((found.var(0) + wanted.var(0)) / 4000)
    assert (np.abs(found.mean(0) - wanted.mean(0)) < 4 * spread).all()
    np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=0.06)


def test_random_fill_is_uniform_and_differs_between_pixels() -> None:
    images = torch.full((64, 3, 64, 32), 7, dtype=torch.uint8)
    changed = AUGMENTATIONS.build("random-erasing", p=1.0, smallest=0.3)(images, generator())
    values = changed[changed != 7].long()
    counts = values.bincount(minlength=256)[torch.arange(256) != 7].double()
    deviation = ((counts - counts.mean()) ** 2 / counts.mean()).sum()  # chi-squared, 254 degrees of freedom
    assert deviation < 254 + 5 * math.sqrt(2 * 254)


@given(st.integers(1, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_cutout_fills_a_square_that_the_border_may_cut(size: int, seed: int) -> None:
    images = torch.full((8, 3, 32, 16), 7, dtype=torch.uint8)
    changed = AUGMENTATIONS.build("cutout", size=size, fill="black")(images, generator(seed))
    for before, after in zip(images, changed, strict=True):
        box = changed_box(before, after)
        assert box is not None
        top, left, height, width = box
        assert not after[:, top : top + height, left : left + width].any()
        assert height == size or (height < size and (top == 0 or top + height == 32))
        assert width == size or (width < size and (left == 0 or left + width == 16))


def picture() -> Image.Image:
    """A picture of middling colours, so that nothing is cut at 0 or 255."""
    return Image.fromarray(np.random.default_rng(0).integers(100, 150, (16, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("setting", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_colour_jitter_agrees_with_pillow(setting: str, enhance: type[ImageEnhance._Enhance]) -> None:
    pixels = np.asarray(picture())
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].repeat(8, 1, 1, 1)
    alone = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, setting: 0.4}
    changed = AUGMENTATIONS.build("colour-jitter", **alone)(images, generator())
    draws = torch.rand(4, 8, generator=generator())[["brightness", "contrast", "saturation"].index(setting)]
    for image, draw in zip(changed, draws, strict=True):
        expected = np.asarray(enhance(picture()).enhance(1 + 0.4 * (2 * float(draw) - 1)))
        assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1


def test_hue_turns_colours_and_keeps_greys_and_luminance() -> None:
    greys = torch.arange(0, 256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(4, 3, 1, 1)
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    jitter = AUGMENTATIONS.build("colour-jitter", hue=0.5, **none)
    assert (jitter(greys, generator()).int() - greys.int()).abs().max() <= 1
    images = torch.from_numpy(np.asarray(picture()).copy()).permute(2, 0, 1)[None].repeat(4, 1, 1, 1)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    changed = jitter(images, generator())
    assert ((changed * weights).sum(1) - (images * weights).sum(1)).abs().max() <= 1
    assert (changed.int() - images.int()).abs().max() > 5


def test_random_grey_is_pillows_grey() -> None:
    images = make_images()
    grey = AUGMENTATIONS.build("random-grey", p=1.0)(images, generator())
    expected = np.stack(
        [np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) for image in images]
    )
    assert abs(grey.numpy().astype(int) - expected[:, None]).max() <= 1


def test_channel_shuffle_reaches_all_orders_and_keeps_pixels_together() -> None:
    images = make_images(count=300, height=4, width=4)
    shuffled = AUGMENTATIONS.build("channel-shuffle", p=1.0)(images, generator())
    orders = set()
    for before, after in zip(images, shuffled, strict=True):
        orders.add(tuple(next(k for k in range(3) if torch.equal(before[k], plane)) for plane in after))
    assert len(orders) == 6
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    some = AUGMENTATIONS.build("channel-shuffle", p=0.5)(images, generator())
    assert 80 < (some != images).flatten(1).any(1).sum() < 170  # a sixth of the orders changes nothing


def test_contrast_and_brightness_apply_in_order_and_are_cut_once() -> None:
    images = torch.tensor([0, 250], dtype=torch.uint8).view(1, 1, 1, 2).repeat(64, 3, 1, 1)
    changed = AUGMENTATIONS.build("colour-jitter", brightness=0.5, contrast=0.5)(images, generator())
    draws = torch.rand(4, 64, generator=generator()) * 2 - 1
    bright, contrast = 1 + 0.5 * draws[0], 1 + 0.5 * draws[1]
    pixels = images[:, 0, 0].double() * bright[:, None]
    mean = pixels.mean(1, keepdim=True)
    expected = ((pixels - mean) * contrast[:, None] + mean).round().clamp(0, 255)
    assert (changed[:, 0, 0] - expected).abs().max() <= 1


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mirror", {"p": 1.5}),
        ("cutout", {"size": 0}),
        ("random-erasing", {"fill": "noise"}),
        ("pad-and-crop", {"pad": 3}),
        ("random-resized-crop", {"area": (0.5, 1.1)}),
        ("random-resized-crop", {"size": (256, 0)}),
    ],
)
def test_settings_are_checked(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        AUGMENTATIONS.build(name, **wrong)


@pytest.mark.parametrize("wrong", [{"area": (0.9, 0.5)}, {"aspect": (3, 2)}])
def test_ranges_must_rise(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="from least to greatest; got"):
        AUGMENTATIONS.build("random-resized-crop", **wrong)
