"""Files of tensors by others: what stands beside the tensors is harmless, or the file is refused."""

import argparse
import collections
import pathlib
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resight.errors import UserError
from resight.models.checkpoints import read_checkpoint

TENSORS = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.tensor([1.0, 2.0])}


def optimiser() -> torch.optim.Optimizer:
    weight = nn.Parameter(torch.ones(2))
    found = torch.optim.Adam([weight], lr=0.1, amsgrad=True)
    weight.sum().backward()
    found.step()
    return found


def same(found: dict[str, Tensor]) -> bool:
    return list(found) == list(TENSORS) and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    "beside",
    [
        {"epoch": 60, "rank1": np.float64(0.943), "mAP": np.float32(0.8)},
        {"ranks": np.array([1.0, 2.0]), "best": np.int64(3)},
        {"optimizer": optimiser().state_dict()},
        {"optimizer": optimiser()},
        {"scheduler": torch.optim.lr_scheduler.MultiStepLR(optimiser(), [20, 40]).state_dict()},
        {"args": argparse.Namespace(arch="osnet_x1_0", root=pathlib.PurePosixPath("/data"), lr=0.0015)},
        {"meters": collections.defaultdict(list, loss=[1.0])},
    ],
    ids=["scalars", "arrays", "state of an optimiser", "optimiser", "scheduler", "arguments", "defaultdict"],
)
def test_harmless_things_stand_beside_the_tensors(
    beside: dict[str, object], zipped: bool, tmp_path: Path
) -> None:
    content = beside | {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}}
    torch.save(content, tmp_path / "model.pth.tar-60", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "model.pth.tar-60"))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", "weights", "model_state_dict"])
def test_wrappers(wrapper: str, tmp_path: Path) -> None:
    torch.save({"epoch": 1, wrapper: TENSORS}, tmp_path / "w.pt")
    assert same(read_checkpoint(tmp_path / "w.pt"))


def test_a_dictionary_of_settings_by_another_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """yacs is not installed: its dictionary is read as one all the same."""
    module, kind = types.ModuleType("yacs.config"), type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    node = kind({"MODEL": kind({"NAME": "osnet"})})
    node.frozen = True
    torch.save({"model": TENSORS, "cfg": node}, tmp_path / "w.pth")
    monkeypatch.undo()
    assert same(read_checkpoint(tmp_path / "w.pth"))


def test_a_scalar_that_python_2_wrote(tmp_path: Path) -> None:
    """Its value is a string of bytes, which is no UTF-8."""
    python_2 = (
        b"\x80\x02}q\x00(U\x05rank1q\x01cnumpy.core.multiarray\nscalar\nq\x02cnumpy\ndtype\nq\x03U\x02f8q\x04K\x00K\x01"
        b"\x87q\x05Rq\x06(K\x03U\x01<q\x07NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x08bU\x08\x9a\x99\x99\x99\x99"
        b"\x99\xe9?q\x09\x86q\nRq\x0bU\x0astate_dictq\x0c}q\x0du."
    )
    assert pickle.loads(python_2, encoding="latin1")["rank1"] == 0.8
    header = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    (tmp_path / "w.pth").write_bytes(b"".join([*header, python_2, pickle.dumps([], 2)]))
    with pytest.raises(UserError, match="something other than tensors by name"):
        read_checkpoint(tmp_path / "w.pth")


class Evaluator:
    """What a stranger's file may hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1 + 1",))


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("true",))


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (Evaluator(), "eval"),
        (Command(), "system"),
        (nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (nn.functional.relu, r"torch\.nn\.functional\.relu"),
        (Path.home, "getattr"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_the_rest_is_refused_by_name(beside: object, named: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": TENSORS, "other": beside}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=f"also holds [a-z.]*{named}, which") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "nothing was loaded" in str(caught.value)


def test_a_whole_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"torch\.nn\.modules\.container\.Sequential.*model\.state_dict\(\)"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_traced_network_is_refused(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "w.pt"))
    with pytest.raises(UserError, match="TorchScript"):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_truncated_file(share: float, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(TENSORS | {"rank1": np.float64(0.9)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"no.* file of tensors"):
        read_checkpoint(path)


def test_what_is_allowed_is_known_only_while_a_file_is_read(tmp_path: Path) -> None:
    torch.save({"state_dict": TENSORS, "args": argparse.Namespace(a=1)}, tmp_path / "w.pth")
    read_checkpoint(tmp_path / "w.pth")
    with pytest.raises(pickle.UnpicklingError, match=r"argparse\.Namespace"):
        torch.load(tmp_path / "w.pth", weights_only=True)
