"""``resight score``: features in other toolkits' files."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet
from scipy.io import savemat
from scoring import Arrays, draw, embedded, run

from resight.commands.feature_files import read_arrays, read_sides
from resight.commands.score import score
from resight.errors import UserError
from resight.evaluation.scores import evaluate

SIDES = {"query": draw(1, 20), "gallery": draw(2, 70)}
SIDES["gallery"]["persons"][:9] = np.repeat([-1, 0, 5], 3)  # junk, distractors
SIDES["query"]["persons"][:2] = 5
MAP = evaluate(embedded(SIDES["query"]), embedded(SIDES["gallery"])).mAP


def by_toolkit_names() -> Arrays:
    """Return both sides as layumi's ``test.py`` saves them."""
    return {
        f"{side}_{name}": arrays[ours]
        for side, arrays in SIDES.items()
        for name, ours in (("f", "features"), ("label", "persons"), ("cam", "cameras"))
    }


def save_csv(path: Path, arrays: Arrays, columns: str = "pid,camid,path", delimiter: str = ",") -> None:
    width = arrays["features"].shape[1]
    rows = [[*columns.split(","), *(f"f{number}" for number in range(width))]]
    for person, camera, row in zip(
        arrays["persons"], arrays["cameras"], arrays["features"].tolist(), strict=True
    ):
        rows.append([str(person), str(camera), '"a, b.jpg"', *map(repr, row)])
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")


def save_layumi(folder: Path) -> list[Path]:
    savemat(folder / "pytorch_result.mat", by_toolkit_names())  # labels become (1, N)
    return [folder / "pytorch_result.mat"]


def save_floats(folder: Path) -> list[Path]:
    arrays = by_toolkit_names()
    floats = {name: value[None].astype(float) for name, value in arrays.items() if value.ndim == 1}
    savemat(folder / "a.mat", arrays | floats)
    return [folder / "a.mat", folder / "a.mat"]


def save_tensors(folder: Path) -> list[Path]:
    content = {name.replace("_f", "f"): torch.from_numpy(value) for name, value in by_toolkit_names().items()}
    content |= {name: content[name].tolist() for name in ("query_label", "gallery_label")}
    torch.save(content, folder / "both.pt")
    return [folder / "both.pt"]


def save_arrays(folder: Path) -> list[Path]:
    for side, arrays in SIDES.items():
        torch.save(
            {"feats": arrays["features"], "pids": arrays["persons"], "camids": arrays["cameras"]},
            folder / f"{side}.pth",
        )
    return [folder / "query.pth", folder / "gallery.pth"]


def save_npy(folder: Path) -> list[Path]:
    for name, value in by_toolkit_names().items():
        np.save(folder / f"{name}.npy", value)
    return [folder / "query_f.npy", folder / "gallery_f.npy"]


def save_npy_folder(folder: Path) -> list[Path]:
    save_npy(folder)
    return [folder]


def save_tables(folder: Path) -> list[Path]:
    save_csv(folder / "q.csv", SIDES["query"])
    save_csv(folder / "g.csv", SIDES["gallery"], "Person,Camera,path", ";")
    return [folder / "q.csv", folder / "g.csv"]


def save_parquet(folder: Path) -> list[Path]:
    for side, arrays in SIDES.items():
        labels = {"pid": [f"{person:04}" for person in arrays["persons"]], "cam": arrays["cameras"]}
        lists = {"embedding": arrays["features"].tolist()}
        numbered = {f"{column}": arrays["features"][:, column] for column in range(8)}
        parquet.write_table(
            pyarrow.table(labels | (lists if side == "query" else numbered)), folder / f"{side}.parquet"
        )
    return [folder / "query.parquet", folder / "gallery.parquet"]


@pytest.mark.parametrize(
    "save",
    [
        save_layumi,
        save_floats,
        save_tensors,
        save_arrays,
        save_npy,
        save_npy_folder,
        save_tables,
        save_parquet,
    ],
)
@pytest.mark.filterwarnings("error")
def test_every_format_gives_the_same_scores(
    save: Callable[[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = run(capsys, *save(tmp_path))
    assert result["mAP"] == pytest.approx(MAP, rel=1e-6)
    assert result["removed"]["junk_crops"] == 3
    assert result["removed"]["itself_pairs"] == 0


def test_a_table_says_which_columns_it_does_not_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_tables(tmp_path)
    _, messages = run(capsys, *files)
    assert f"these columns of {files[0]} are not used: 'path'" in messages


def test_names_are_numbered_alike_in_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = np.array(["eve", "ann", "bob", "-1", "0"])
    persons = {"query": np.array([0, 1, 2, 1]), "gallery": np.array([2, 1, 0, 3, 4])}
    for side, places in persons.items():
        features = np.eye(5)[places].astype(np.float32)
        np.savez(
            tmp_path / f"{side}.npz",
            features=features,
            persons=names[places],
            cameras=np.array(["gate", "yard"])[[int(side == "query")] * len(places)],
        )
    query, gallery = read_sides(tmp_path / "query.npz", tmp_path / "gallery.npz")
    assert query["persons"].tolist() == [3, 1, 2, 1]
    assert gallery["persons"].tolist() == [2, 1, 3, -1, 0]
    assert (query["cameras"].tolist(), gallery["cameras"].tolist()) == ([2] * 4, [1] * 5)
    notes = capsys.readouterr().err
    assert "'persons' are 3 names, such as 'ann'. '-1' marks junk. '0' marks distractors." in notes
    result, _ = run(capsys, tmp_path / "query.npz", tmp_path / "gallery.npz")
    assert (result["rank1"], result["removed"]["junk_crops"]) == (1, 1)
    np.savez(tmp_path / "numbers.npz", features=np.eye(5), persons=range(5), cameras=["gate"] * 5)
    with pytest.raises(UserError, match=r"'persons' are numbers in one of .*, and names such as 'ann' in"):
        score(tmp_path / "query.npz", tmp_path / "numbers.npz", device="cpu")


def test_cells_and_columns_of_matlab(tmp_path: Path) -> None:
    cells = np.empty((1, 3), object)
    cells[0] = ["0002", "-1", "17"]
    savemat(tmp_path / "a.mat", {"features": np.eye(3), "label": cells, "cam": np.array([[1.0], [2], [3]])})
    found = read_arrays(tmp_path / "a.mat")
    assert (found["persons"].tolist(), found["cameras"].tolist()) == ([2, -1, 17], [1, 2, 3])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def write(path: Path, content: object) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".mat":
        savemat(path, content)
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.table(content), path)
    elif path.suffix == ".npy":
        np.save(path, content)
    else:
        torch.save(content, path)


TWO = np.eye(2)
MATLAB_7_3 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mat", b"hello", "a.mat is not a .mat file, or it is damaged"),
        ("a.mat", MATLAB_7_3, "a.mat has the format of MATLAB 7.3"),
        ("a.mat", {"gallery_f": TWO}, "a.mat has no array 'features'; there are: 'gallery_f'"),
        ("a.mat", {"query_f": TWO}, "a.mat has no array 'persons'; there are: 'query_f'"),
        ("a.mat", {"f": TWO, "label": [1.0, 2.5]}, r"'label' in a.mat .* text; got 2.5 in row 1"),
        ("a.mat", {"f": TWO, "label": [[1, 2, 3]]}, r"'label' in a.mat .* got the shape \(1, 3\)"),
        ("a.mat", {"f": TWO, "label": [1, 2], "pids": [1, 2]}, "several arrays of persons: 'label' and"),
        ("a.pt", b"hello", "a.pt is not a .pt file of tensors by name, or it is damaged"),
        ("a.pt", torch.ones(3), "a.pt has a Tensor instead of tensors by name. Save a dictionary"),
        ("a.pt", {"features": Bomb()}, r"or it contains \w+\.system, which might run code"),
        (
            "a.pt",
            {"f": torch.ones(2, 2), "label": [1, None]},
            "'label' in a.pt must be whole numbers or text",
        ),
        ("a.csv", "0.5,1.5,2\n0.1,0.2,1\n", r"first row of a.csv must name .*; got '0.5,1.5,2'"),
        (
            "a.csv",
            "pid,f0,f1\n1,0.5,abc\n",
            r"a.csv cannot be read: .*'abc'.* at row 0[^.]*\. .* is row 0\.$",
        ),
        ("a.csv", "pid;f0;f1\n1;-0,5;1,5\n", r"'-0,5'.* at row 0, column 2\. .* decimal point, such as 0\.5"),
        ("a.csv", "pid,f0,f1\n1,0.5\n", "a.csv cannot be read: "),
        ("a.csv", "pid,f0,f2\n1,0.5,1\n", "a.csv has no array 'features'; there are: 'pid', 'f0', 'f2'"),
        ("a.csv", "f0,f1\n1,0.5\n", "a.csv has no array 'persons'; there are: 'features'"),
        ("a.csv", "pid,f0\n1,0.5\n ,1\n", "'pid' in a.csv is empty for 1 crops, such as row 1"),
        ("a.csv", "pid,f0\n1,0.5\n".encode("utf-16"), "a.csv is not a CSV file in UTF-8"),
        ("a.parquet", b"PAR1 and so on", "a.parquet is not a Parquet file, or it is damaged"),
        ("a.parquet", {"pid": [1, 2], "f": [[1.0], [1.0, 2]]}, "'f' .* have different lengths"),
        ("a.parquet", {"pid": [1, None], "f0": [1.0, 2]}, "'pid' of a.parquet is empty in 1 rows"),
        ("a.npy", TWO, r"no labels beside a.npy. Expected .* a_persons\.npy"),
    ],
)
def test_bad_files_are_named(
    name: str, content: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), content)
    np.savez("gallery.npz", **SIDES["gallery"])
    with pytest.raises(UserError, match=message):
        score(Path(name), Path("gallery.npz"), device="cpu")
    assert not Path("executed").exists()


def test_one_side_alone_needs_a_gallery(tmp_path: Path) -> None:
    np.savez(tmp_path / "query.npz", **SIDES["query"])
    with pytest.raises(UserError, match=r"does not have both queries and a gallery; there are: 'features'"):
        score(tmp_path / "query.npz", device="cpu")
