"""Which of a set's splits is opened: asked for beside the reader's other options."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from resight.data.benchmark import Benchmark
from resight.data.opening import open_benchmark, reopen
from resight.errors import UserError

WriteImages = Callable[[Iterable[str]], Path]


def make_viper(write_images: WriteImages, folder: str = "") -> Path:
    names = (f"{folder}cam_{camera}/{person:03}_00.bmp" for person in range(8) for camera in "ab")
    return write_images(names)


def persons(benchmark: Benchmark) -> set[int]:
    return {crop.person for crop in benchmark.query}


def test_a_split_is_the_readers_option(write_images: WriteImages) -> None:
    root = make_viper(write_images)
    reader = "viper,test_persons=4"
    tests = [persons(open_benchmark(root, reader=reader, split=number)) for number in range(5)]
    assert len({frozenset(test) for test in tests}) > 1
    for number, test in enumerate(tests):
        named = open_benchmark(root, reader=f"{reader},split={number}")
        assert persons(named) == test
        assert named.opened["split"] is None
    assert persons(open_benchmark(root, reader=reader)) == tests[0]
    chosen = open_benchmark(root, reader=reader, split=3)
    assert chosen.opened["split"] == 3
    assert reopen(chosen.opened) == chosen


def test_a_reader_need_not_be_named(write_images: WriteImages) -> None:
    images = [f"{person:04}{image:03}.png" for person in range(1, 972) for image in (1, 3)]
    root = write_images(f"campus/{name}" for name in images)
    assert persons(open_benchmark(root, split=2)) == persons(open_benchmark(root, reader="cuhk01,split=2"))


def test_of_several_sets_the_first_is_split(write_images: WriteImages) -> None:
    make_viper(write_images, "a/")
    root = write_images(f"b/{person}/{image}.png" for person in ("ann", "bob") for image in (1, 2))
    options = ["viper,test_persons=4", "folder"]
    merged = open_benchmark([root / "a", root / "b"], reader=options, split=1)
    assert persons(merged) == persons(open_benchmark(root / "a", reader=options[0], split=1))


def test_what_has_no_splits(write_images: WriteImages) -> None:
    root = write_images(f"{person}/{image}.png" for person in ("ann", "bob") for image in (1, 2))
    for reader in (None, "folder"):
        with pytest.raises(UserError, match="The reader 'folder' has no option 'split'"):
            open_benchmark(root, reader=reader, split=1)
    with pytest.raises(UserError, match="Give a --pattern or a --split, not both"):
        open_benchmark(root, pattern="(?P<person>[a-z]+)/", split=1)


def test_a_split_is_said_once_and_exists(write_images: WriteImages) -> None:
    root = make_viper(write_images)
    with pytest.raises(UserError, match="The option 'split' of the reader 'viper' is given twice"):
        open_benchmark(root, reader="viper,test_persons=4,split=1", split=2)
    with pytest.raises(UserError, match="The reader 'viper' does not accept these options"):
        open_benchmark(root, reader="viper", split=-1)
