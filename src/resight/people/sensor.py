"""A camera's image processing: exposure, colour, blur, tone, noise and its own JPEG."""

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from resight.people.arrays import Floats
from resight.people.camera import Camera
from resight.people.factors import PLAIN, Factors
from resight.seeds import derive_seed

LUMA = (0.3, 0.59, 0.11)


@dataclass(frozen=True)
class Sensor:
    """The image processing of one camera.

    Attributes:
        mix: [3, 3] product of exposure, white balance and colour matrix. haze: added light.
        blur: standard deviation in pixels. noise: standard deviation, of 1.
        saturation, contrast, gamma: of the tone curve.
        quality: of the camera's own JPEG.
        black: level below which everything is black. sharpening: amount and standard deviation in pixels.
        shrink: pixels of the scene per pixel of the camera. interlaced: whether two fields make a picture.
        lean: [2] rotation and stretch of what is seen at the sides.
    """

    mix: Floats
    haze: float
    blur: float
    saturation: float
    contrast: float
    gamma: float
    noise: float
    quality: int
    black: float = 0.0
    sharpening: tuple[float, float] = (0.0, 1.0)
    shrink: float = 1.0
    interlaced: bool = False
    lean: tuple[float, float] = (0.0, 0.0)

    def develop(self, light: Floats, drift: Floats, random: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Return the picture, uint8 [h, w, 3], of linear light [h, w, 3].

        Args:
            drift: [3] current factors of exposure and white balance.
            random: stream of this crop's noise.
        """
        red, green, blue = np.ascontiguousarray(light.transpose(2, 0, 1), np.float32)
        mix = (self.mix * drift[:, None]).astype(np.float32)
        planes = np.stack([row[0] * red + row[1] * green + row[2] * blue for row in mix])
        np.clip(planes, 0, 4, out=planes)
        planes /= 1 + 0.12 * planes
        planes += np.float32(self.haze)
        planes = gaussian(planes, self.blur * random.uniform(0.7, 1.4))
        if random.random() < 0.2:
            planes = _smear(planes, int(random.integers(2, 5)))
        planes = self._tone(np.sqrt(np.clip(planes, 0, 1)))
        luma = sum(np.float32(share) * plane for share, plane in zip(LUMA, planes, strict=True))
        planes *= np.float32(self.saturation * self.contrast)
        planes += np.float32((1 - self.saturation) * self.contrast) * luma + np.float32(
            0.45 * (1 - self.contrast)
        )
        if self.black:
            planes -= np.float32(self.black)
            planes /= np.float32(1 - self.black)
        grain = random.standard_normal((4, luma.shape[0], luma.shape[1] + 1), np.float32)
        grain = (grain[:, :, 1:] + grain[:, :, :-1]) * np.float32(self.noise / np.sqrt(2))
        planes += grain[0] + np.float32(0.6) * grain[1:]
        amount, radius = self.sharpening
        if amount:
            planes += np.float32(amount) * (planes - gaussian(planes, radius))
        picture = np.clip(planes * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(picture.transpose(1, 2, 0))

    def _tone(self, root: Floats) -> Floats:
        """Apply the gamma to square roots in [0, 1], where it is nearly linear, by a table."""
        table = (np.arange(2049, dtype=np.float32) / 2048) ** np.float32(2 / self.gamma)
        return table[(root * np.float32(2048) + np.float32(0.5)).astype(np.int32)]

    def compress(self, picture: npt.NDArray[np.uint8], random: np.random.Generator) -> Image.Image:
        """Return the picture after the camera's own JPEG compression."""
        stream, image = io.BytesIO(), Image.fromarray(picture)
        if self.shrink > 1:
            size = (round(image.width / self.shrink), round(image.height / self.shrink))
            image = image.resize(size, Image.Resampling.BILINEAR)
        image.save(stream, "JPEG", quality=self.quality + int(random.integers(-8, 9)))
        result = Image.open(stream)
        result.load()
        return result


def sample_sensor(seed: int, number: int, camera: Camera, factors: Factors = PLAIN) -> Sensor:
    """Return the sensor of a camera; exposure follows the scene's light, the colour cast is moderate."""
    random = np.random.default_rng(derive_seed(seed, "sensor", number))
    balance = np.exp(random.normal(0, 0.045, 3))
    matrix = np.eye(3) + random.normal(0, 0.02, (3, 3))
    exposure = np.exp(random.normal(0.1, 0.17)) * 0.95 / camera.light.mean()
    mix = exposure * (balance / balance.mean())[:, None] * matrix / matrix.sum(1, keepdims=True)
    scale = camera.frame[0] / 600
    plain = Sensor(
        mix=mix,
        haze=max(0.0, random.uniform(-0.05, 0.05)),
        blur=random.uniform(0.3, 1.1) * max(scale, 0.6),
        saturation=random.uniform(0.7, 1.1),
        contrast=random.uniform(0.9, 1.2),
        gamma=random.uniform(2.05, 2.4),
        noise=random.uniform(0.004, 0.02),
        quality=int(random.integers(45, 88)),
    )
    own = np.random.default_rng(derive_seed(seed, "sensor factors", number))
    return _surveillance(plain, own, factors, scale)


def _surveillance(plain: Sensor, random: np.random.Generator, factors: Factors, scale: float) -> Sensor:
    """Return the sensor with what the factors change, each in proportion to its strength."""

    def between(value: float, other: float, strength: float) -> float:
        return (1 - strength) * value + strength * other

    gain = np.exp(factors.light * random.normal(0, 0.18))
    cast = np.exp(factors.colours * random.normal(0, 0.08, 3))
    saturation = plain.saturation + factors.colours * random.uniform(-0.4, 0.15)
    black, contrast = random.uniform(0.0, 0.04), random.uniform(0.95, 1.2)
    blur, amount, radius = random.uniform(0.15, 0.5), random.uniform(0.2, 1.5), random.uniform(0.7, 1.5)
    noise = random.uniform(1, 3)
    quality, shrink, comb = random.uniform(25, 75), random.uniform(0.6, 1.9), random.random()
    rotation, stretch = random.normal(0, 0.08), random.normal(0, 0.08)
    return replace(
        plain,
        mix=plain.mix * gain * (cast / cast.mean())[:, None],
        haze=between(plain.haze, 0.0, factors.tone),
        blur=between(plain.blur, blur * max(scale, 0.6), factors.focus),
        saturation=saturation,
        contrast=between(plain.contrast, contrast, factors.tone),
        noise=plain.noise * between(1, noise, factors.noise),
        quality=round(between(plain.quality, quality, factors.codec)),
        black=factors.tone * black,
        sharpening=(factors.focus * amount, radius * max(scale, 0.6)),
        shrink=max(1.0, between(1, shrink * max(scale, 0.5), factors.codec)),
        interlaced=comb < 0.15 * factors.codec,
        lean=(factors.lens * rotation, factors.lens * stretch),
    )


def gaussian(planes: Floats, sigma: float) -> Floats:
    """Blur planes [c, h, w] along rows and columns; edges repeat."""
    reach = max(1, round(2.5 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 0.1)) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (1, 2):
        padding = [(0, 0)] * 3
        padding[axis] = (reach, reach)
        padded = np.pad(planes, padding, mode="edge")
        length = planes.shape[axis]
        middle = padded.take(range(reach, reach + length), axis) * taps[reach]
        for step in range(1, reach + 1):
            first, last = ([slice(None)] * 3 for _ in range(2))
            first[axis] = slice(reach - step, reach - step + length)
            last[axis] = slice(reach + step, reach + step + length)
            middle += taps[reach + step] * (padded[tuple(first)] + padded[tuple(last)])
        planes = middle
    return planes


def _smear(planes: Floats, length: int) -> Floats:
    """Average this many neighbours along the rows (motion blur)."""
    width = planes.shape[2]
    padded = np.pad(planes, ((0, 0), (0, 0), (0, length - 1)), mode="edge")
    total = padded[:, :, :width].copy()
    for step in range(1, length):
        total += padded[:, :, step : step + width]
    return total / np.float32(length)
