"""Taking the fastest runtime of those that compute the same, and keeping what was measured."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.inference.runtimes import choice, switching
from resight.inference.runtimes.choice import Compute, choose, difference, kept_choice, machine_key
from resight.inference.runtimes.switching import MEASURING_PAYS, OPENING_PAYS, SwitchingCompute

SIZE = (8, 4)
KEY = {"model": "a", "precision": "float32"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))


class Network:
    """Computes means of the channels, and says how many seconds a crop takes it alone and in a batch."""

    def __init__(self, one: float = 1.0, many: float = 1.0, error: float = 0.0) -> None:
        self.one, self.many, self.error, self.calls = one, many, error, 0

    def __call__(self, crops: Tensor) -> Tensor:
        self.calls += 1
        return crops.double().mean((1, 2)) * (1 + self.error)

    def seconds(self, count: int) -> float:
        return count * (self.one if count == 1 else self.many)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(compute: Compute, crops: Tensor, repeats: int = 1) -> float:
        assert isinstance(compute, Network)
        return compute.seconds(len(crops))

    monkeypatch.setattr(choice, "seconds_of", seconds)
    monkeypatch.setattr(switching, "seconds_of", seconds)


def candidates(**networks: Network) -> dict[str, Callable[[], Compute]]:
    return {name: (lambda network=network: network) for name, network in networks.items()}


def test_the_fastest_is_taken_for_one_and_for_many() -> None:
    found = choose(
        KEY,
        candidates(torch=Network(1, 0.5), onnxruntime=Network(0.25, 0.4), openvino=Network(0.5, 0.2)),
        SIZE,
    )
    assert (found.one, found.many) == ("onnxruntime", "openvino")
    assert found.rates == {"torch": (1.0, 2.0), "onnxruntime": (4.0, 2.5), "openvino": (2.0, 5.0)}
    assert kept_choice(KEY) == found


def test_a_lead_that_may_be_chance_is_no_reason() -> None:
    found = choose(KEY, candidates(torch=Network(1, 1), openvino=Network(0.97, 1.2)), SIZE)
    assert (found.one, found.many) == ("torch", "torch")


def test_one_that_computes_something_else_is_refused() -> None:
    fast = Network(0.1, 0.1, error=1e-3)

    def missing() -> Compute:
        raise UserError("It is not installed.")

    found = choose(KEY, candidates(torch=Network(), openvino=fast) | {"onnxruntime": missing}, SIZE)
    assert (found.one, found.many) == ("torch", "torch")
    assert found.refused["onnxruntime"] == "It is not installed."
    assert "its vectors differ by 1.0e-03" in found.refused["openvino"]
    with pytest.raises(UserError, match=r"No runtime can compute this network: onnxruntime: It is not"):
        choose(KEY | {"model": "b"}, {"onnxruntime": missing}, SIZE)


def test_vectors_are_compared_by_direction_and_by_number() -> None:
    vectors = torch.randn(4, 16)
    assert difference(vectors + 1e-7, vectors) is None
    assert "NaN" in str(difference(vectors * torch.nan, vectors))
    assert "(4, 8) instead of (4, 16)" in str(difference(vectors[:, :8], vectors))
    assert "cosine" in str(difference(vectors * 1.001, vectors))
    low = vectors.bfloat16().float()
    assert difference(low, vectors) is not None
    assert difference(low, vectors, "bfloat16") is None


def test_a_measurement_is_kept_for_its_key() -> None:
    first, second = Network(), Network(0.1, 0.1)
    choose(KEY, candidates(torch=first, openvino=second), SIZE)
    calls = second.calls
    assert choose(KEY, candidates(torch=first, openvino=second), SIZE).many == "openvino"
    assert second.calls == calls
    assert kept_choice(KEY | {"model": "b"}) is None
    third = Network()
    choose(KEY, candidates(torch=first, openvino=second, onnxruntime=third), SIZE)  # one more is installed
    assert third.calls > 0


def test_a_damaged_measurement_is_made_again(tmp_path: Path) -> None:
    choose(KEY, candidates(torch=Network()), SIZE)
    (file,) = (tmp_path / "cache" / "runtimes").glob("*.json")
    content = json.loads(file.read_text())
    for damaged in (
        "{",
        "[]",
        json.dumps(content | {"choice": {"one": 1}}),
        json.dumps(content | {"key": 1}),
    ):
        file.write_text(damaged)
        assert kept_choice(KEY) is None
        assert choose(KEY, candidates(torch=Network()), SIZE).many == "torch"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "file" / "cache"))
    assert choose(KEY, candidates(torch=Network(), openvino=Network(0.1, 0.1)), SIZE).many == "openvino"


def test_processes_that_measure_at_once_measure_once() -> None:
    network = Network()

    def run(_: int) -> str:
        return choose(KEY, candidates(torch=network), SIZE).many

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run, range(4))) == {"torch"}
    assert network.calls == 1


def test_a_key_holds_what_the_measurement_depends_on() -> None:
    key = machine_key("a", "float32", 2)
    assert key["versions"].keys() == {"resight", "torch", "onnxruntime", "openvino"}
    assert key["processor"]
    assert key != machine_key("a", "float32", 1)
    assert key != machine_key("a", "bfloat16", 2)
    assert json.loads(json.dumps(key)) == key


def switching_compute(runtime: Any = "auto", **networks: Network) -> SwitchingCompute:
    return SwitchingCompute(runtime, candidates(**networks), lambda: KEY, SIZE, "float32")


def crops(count: int) -> Tensor:
    return torch.full((count, *SIZE, 3), 7, dtype=torch.uint8)


def test_a_short_command_measures_nothing() -> None:
    first, second = Network(), Network(0.1, 0.1)
    compute = switching_compute(torch=first, openvino=second)
    assert compute(crops(5)).tolist() == [[7.0] * 3] * 5
    assert (first.calls, second.calls) == (1, 0)
    assert kept_choice(KEY) is None


def test_preparing_measures_where_it_pays() -> None:
    first, second = Network(), Network(0.1, 0.1)
    compute = switching_compute(torch=first, openvino=second)
    compute.prepare(int(MEASURING_PAYS) - 1)
    assert (compute.runtime, second.calls) == ("torch", 0)
    compute = switching_compute(torch=first, openvino=second)
    compute.prepare(int(MEASURING_PAYS) + 1)
    assert compute.runtime == "openvino"
    assert compute.describe() == "OpenVINO, float32 (measured here: 10.00 times as fast as PyTorch)"
    first.calls = 0
    compute(crops(9))
    assert first.calls == 0


def test_a_kept_measurement_is_used_where_opening_pays() -> None:
    networks = {"torch": Network(), "openvino": Network(0.5, 0.5)}
    choose(KEY, candidates(**networks), SIZE)
    compute = switching_compute(**networks)
    compute.prepare(2 * int(OPENING_PAYS))
    assert compute.runtime == "torch"
    compute = switching_compute(**networks)
    compute.prepare(2 * int(OPENING_PAYS) + 2)
    assert compute.runtime == "openvino"


def test_a_service_measures_at_its_start_and_takes_two() -> None:
    first, second = Network(1, 1), Network(0.1, 2)
    compute = switching_compute(torch=first, openvino=second)
    compute.prepare()
    first.calls = second.calls = 0
    compute(crops(1))
    compute(crops(16))
    assert (first.calls, second.calls) == (1, 1)
    assert compute.describe() == "PyTorch, float32"


def test_a_named_runtime_is_used_from_the_start() -> None:
    first, second = Network(), Network(9, 9)
    compute = switching_compute("openvino", torch=first, openvino=second)
    compute.prepare()
    first.calls = 0
    compute(crops(1))
    assert (compute.runtime, first.calls) == ("openvino", 0)


def test_a_named_runtime_that_differs_is_refused() -> None:
    with pytest.raises(UserError, match=r"OpenVINO returns other vectors than PyTorch: .*--runtime torch"):
        switching_compute("openvino", torch=Network(), openvino=Network(error=0.1))
    with pytest.raises(UserError, match=r"ONNX Runtime cannot compute this network.*--runtime torch"):
        switching_compute("onnxruntime", torch=Network())


def test_what_is_refused_is_said() -> None:
    compute = switching_compute(torch=Network(), openvino=Network(error=0.1))
    compute.prepare()
    assert compute.describe().startswith("PyTorch, float32. OpenVINO is not used: its vectors differ by")
