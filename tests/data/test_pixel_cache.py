"""The decoded cache is right, and stays right when processes race, die, or run out of disk."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resight.data import cache as cache_module
from resight.data.cache import PixelCache
from resight.data.crop import Crop
from resight.errors import UserError
from resight.files import cache_folder
from resight.imaging import read_image

WriteImages = Callable[[Iterable[str]], Path]
SIZE = (16, 8)


@pytest.fixture
def crops(write_images: WriteImages) -> list[Crop]:
    """Twelve crops whose files are old enough for their times to be trusted."""
    root = write_images(f"{index:02}.png" for index in range(12))
    return [Crop(path, 1 + index // 4, index % 2) for index, path in enumerate(sorted(root.iterdir()))]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record what is decoded."""
    calls: list[bytes] = []
    original = cache_module.decode
    monkeypatch.setattr(cache_module, "decode", lambda data: calls.append(data) or original(data))
    return calls


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record which files are read."""
    calls: list[Path] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: calls.append(path) or original(path))
    return calls


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust files at once, as if they had been written long ago."""
    monkeypatch.setattr(cache_module, "SETTLED_NS", 0)


def test_pixels_are_the_crops_in_order(crops: list[Crop], own_cache: Path) -> None:
    found = PixelCache.open(crops[::-1], SIZE)
    assert found.crops == tuple(crops[::-1])
    assert found.pixels.shape == (12, *SIZE, 3)
    for crop, pixels in zip(found.crops, found.pixels, strict=True):
        np.testing.assert_array_equal(pixels, read_image(crop.path, SIZE))
    assert not found.pixels.flags.writeable
    assert found.skipped == ()
    assert own_cache.stat().st_mode & 0o077 == 0  # pictures of people are for their owner only


def test_aspects_are_those_of_the_files_and_found_again(tmp_path: Path) -> None:
    crops = []
    for number, shape in enumerate([(220, 60), (128, 64), (0, 0), (60, 90)]):
        path = tmp_path / f"{number}.png"
        if shape[0]:
            Image.fromarray(np.zeros((*shape, 3), dtype=np.uint8)).save(path)
        else:
            path.write_bytes(b"no image")
        crops.append(Crop(path, 1, 1))
    for _ in range(2):
        aspects = PixelCache.open(crops, SIZE, skip_unreadable=True).aspects
        assert aspects.dtype == np.float32
        np.testing.assert_allclose(aspects, [220 / 60, 2, 60 / 90], rtol=1e-6)


def test_built_once_and_then_found_without_reading(
    crops: list[Crop], decoded: list[bytes], read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    first = PixelCache.open(crops, SIZE)
    assert len(decoded) == len(crops)
    read.clear()
    second = PixelCache.open(crops, SIZE)
    assert (len(decoded), read) == (len(crops), [])
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_fresh_files_are_read_again_but_not_decoded(
    crops: list[Crop], decoded: list[bytes], read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick of the file system's clock a file can change unseen, so its times are not trusted yet."""
    monkeypatch.setattr(cache_module, "SETTLED_NS", 10**12)
    PixelCache.open(crops, SIZE)
    read.clear()
    PixelCache.open(crops, SIZE)
    assert (len(read), len(decoded)) == (len(crops), len(crops))


def test_changed_contents_are_seen_though_times_and_size_stay(
    crops: list[Crop], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    path = crops[3].path.with_suffix(".bmp")  # uncompressed: every content has the same size
    crops[3] = Crop(path, 1, 1)
    Image.new("RGB", (4, 8), "red").save(path)
    before, stat = PixelCache.open(crops, SIZE), path.stat()
    Image.new("RGB", (4, 8), "blue").save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    after = PixelCache.open(crops, SIZE)
    assert before.pixels[3, 0, 0].tolist() == [255, 0, 0]
    assert after.pixels[3, 0, 0].tolist() == [0, 0, 255]


def test_copies_elsewhere_share_pixels_and_sizes_do_not(
    crops: list[Crop], decoded: list[bytes], tmp_path: Path
) -> None:
    PixelCache.open(crops, SIZE)
    (tmp_path / "copy").mkdir()
    copies = [Crop(tmp_path / "copy" / crop.path.name, 9, None) for crop in crops]
    for crop, copy in zip(crops, copies, strict=True):
        copy.path.write_bytes(crop.path.read_bytes())
    assert PixelCache.open(copies, SIZE).crops == tuple(copies)
    assert len(decoded) == len(crops)
    assert PixelCache.open(crops, (8, 8)).pixels.shape == (12, 8, 8, 3)
    assert len(decoded) == 2 * len(crops)


def test_unreadable_images_are_named_or_skipped(crops: list[Crop], decoded: list[bytes]) -> None:
    data = crops[2].path.read_bytes()
    crops[2].path.write_bytes(data[: len(data) // 2])
    crops[7].path.write_bytes(b"")
    with pytest.raises(
        UserError, match=f"{crops[2].path} holds no whole .* 1 more of 12 .*--skip-unreadable"
    ):
        PixelCache.open(crops, SIZE)
    count = len(decoded)
    found = PixelCache.open(crops, SIZE, skip_unreadable=True)
    assert len(decoded) == count  # the first try did the work
    assert found.crops == tuple(crop for index, crop in enumerate(crops) if index not in (2, 7))
    assert [path for path, _ in found.skipped] == [crops[2].path, crops[7].path]
    assert found.skipped[1][1] == "is empty (0 bytes)."
    for crop, pixels in zip(found.crops, found.pixels, strict=True):
        np.testing.assert_array_equal(pixels, read_image(crop.path, SIZE))


def test_a_repaired_image_comes_back(crops: list[Crop]) -> None:
    data = crops[2].path.read_bytes()
    crops[2].path.unlink()
    found = PixelCache.open(crops, SIZE, skip_unreadable=True)
    assert found.skipped == ((crops[2].path, "cannot be read: No such file or directory."),)
    crops[2].path.write_bytes(data)
    assert len(PixelCache.open(crops, SIZE).crops) == 12


def test_nothing_to_read_is_refused(crops: list[Crop]) -> None:
    with pytest.raises(UserError, match="no crops to read"):
        PixelCache.open([], SIZE)
    for crop in crops:
        crop.path.write_bytes(b"junk")
    with pytest.raises(UserError, match="None of the 12 crops can be read"):
        PixelCache.open(crops, SIZE, skip_unreadable=True)


def test_a_cut_pixel_file_is_built_again(crops: list[Crop], own_cache: Path) -> None:
    whole = np.array(PixelCache.open(crops, SIZE).pixels)
    (pixels,) = own_cache.glob("*.pixels")
    with pixels.open("r+b") as stream:
        stream.truncate(1000)
    np.testing.assert_array_equal(PixelCache.open(crops, SIZE).pixels, whole)


BUILD = """
import sys
from pathlib import Path
from resight.data import cache
from resight.data.crop import Crop
if sys.argv[2] == "slow":
    import time
    original = cache.decode
    def decode(data):
        print("decoding", flush=True)
        time.sleep(0.2)
        return original(data)
    cache.decode, cache.CHUNK = decode, 2
paths = sorted(Path(sys.argv[1]).iterdir())
found = cache.PixelCache.open([Crop(path, 1, 1) for path in paths], (16, 8))
print("sum", int(found.pixels.sum()), flush=True)
"""


def build(crops: list[Crop], speed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(BUILD), str(crops[0].path.parent), speed]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_while_building(crops: list[Crop], own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / ".bashrc").write_text("a folder of the user's own")
    process = build(crops, "slow")
    assert process.stdout is not None
    for _ in range(6):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in own_cache.iterdir())
    assert [name.endswith(".pixels") for name in left if name.startswith(".") and name != ".bashrc"] == [True]
    assert not any(name.endswith(".pixels") and not name.startswith(".") for name in left)
    found = PixelCache.open(crops, SIZE)
    np.testing.assert_array_equal(found.pixels, [read_image(crop.path, SIZE) for crop in crops])
    assert [path.name for path in own_cache.iterdir() if path.name.startswith(".")] == [".bashrc"]


def test_two_processes_build_one_file(crops: list[Crop], own_cache: Path) -> None:
    first = build(crops, "slow")
    assert first.stdout is not None
    first.stdout.readline()
    second = build(crops, "slow")
    (out, _), (other, waiting) = first.communicate(timeout=60), second.communicate(timeout=60)
    expected = f"sum {sum(int(read_image(crop.path, SIZE).sum()) for crop in crops)}"
    assert out.splitlines()[-1] == expected
    assert other.splitlines() == [expected]  # it waited, and decoded nothing
    assert "waiting" in waiting
    assert len(list(own_cache.glob("*.pixels"))) == 1


def test_full_disk_is_a_sentence_and_leaves_nothing_half(crops: list[Crop], own_cache: Path) -> None:
    """A limit on the size of files stands for a full disk: the kernel refuses the write in the same way."""
    script = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n{BUILD}"
    command = [sys.executable, "-c", script, str(crops[0].path.parent), "fast"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode != 0
    assert "Cannot write" in failed.stderr
    assert "RESIGHT_CACHE" in failed.stderr
    assert not list(own_cache.glob("*.pixels"))
    assert not list(own_cache.glob(".*"))
    assert len(PixelCache.open(crops, SIZE).crops) == 12


def test_too_small_a_disk_is_refused_before_decoding(
    crops: list[Crop], decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = cache_module.shutil.disk_usage("/")
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"0\.00 GB free.*12 crops at 16 x 8 take.*RESIGHT_CACHE"):
        PixelCache.open(crops, SIZE)
    assert decoded == []


def test_a_folder_that_cannot_be_made(crops: list[Crop], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot make .*file/cache: .*RESIGHT_CACHE"):
        PixelCache.open(crops, SIZE, folder=tmp_path / "file" / "cache")


def test_an_image_that_changes_meanwhile(
    crops: list[Crop], monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    original, times = Path.read_bytes, [0]

    def changing(path: Path) -> bytes:
        times[0] += path == crops[5].path
        return original(path) + (b"more" if path == crops[5].path and times[0] > 1 else b"")

    monkeypatch.setattr(Path, "read_bytes", changing)
    with pytest.raises(UserError, match=f"{crops[5].path} changed while it was read"):
        PixelCache.open(crops, SIZE)
    assert not list(own_cache.glob("*.pixels"))


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    monkeypatch.setenv("HOME", "/three")
    assert cache_folder() == Path("/one")
    monkeypatch.delenv("RESIGHT_CACHE")
    assert cache_folder() == Path("/two/resight")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/three/.cache/resight")
