"""The benchmark of evaluation, at a hundredth of its size: it runs, and plain NumPy finds the same scores."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluation.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads peaks of memory from /proc")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("benchmark_of_evaluation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_every_method_of_every_case(benchmark, tmp_path, monkeypatch) -> None:
    results = {}
    for name, case in benchmark.CASES.items():
        benchmark.draw(case, 0.01, tmp_path)
        found = {method: benchmark.measure(name, method, tmp_path) for method in case.methods}
        for ours, plain in (
            (benchmark.SCORES, benchmark.PLAIN),
            (benchmark.CURVE, benchmark.PLAIN),
            (benchmark.RERANKED, benchmark.PLAIN_RERANKED),
        ):
            if ours in found and plain in found:
                assert found[ours]["mAP"] == pytest.approx(found[plain]["mAP"], abs=1e-4)
        results[name] = benchmark.summarise(case, {name: [one] for name, one in found.items()}, 0.01)
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "evaluation.md")
    benchmark.PAGE.write_text(f"Before.\n{benchmark.START}\nold\n{benchmark.END}\nAfter.\n")
    benchmark.write(results)
    text = benchmark.PAGE.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert text.count("| resight, re-ranked |") == 2
    assert "34 x (159 + 5,000) x 1,024, gallery memory-mapped" in text
    benchmark.write({})
    assert benchmark.PAGE.read_text() == text


def test_bounds_are_told_at_full_size_and_large_matrices_left_out(benchmark) -> None:
    case = benchmark.CASES["re-ranking"]
    one = {"seconds": 3.0, "cpu_seconds": 3.0, "product_seconds": 1.0, "product_cpu_seconds": 1.0}
    one |= {"megabytes": 100.0, "in_all": 900.0, "rank1": 0.5, "mAP": 0.5}
    told = benchmark.summarise(case, {benchmark.RERANKED: [one]}, 1)["methods"][benchmark.RERANKED]["bounds"]
    assert told == ["times the product 1.1: MISSED", "MB above the features 1,500: kept"]
    assert benchmark.fits(case, benchmark.PLAIN_RERANKED, 1)
    assert not benchmark.fits(benchmark.CASES["msmt17"], benchmark.PLAIN_RERANKED, 1)
    assert benchmark.fits(benchmark.CASES["msmt17"], benchmark.RERANKED, 1)


@pytest.mark.slow
def test_the_command_measures_each_in_a_process_of_its_own() -> None:
    command = [sys.executable, SCRIPT, "--cases", "re-ranking", "--scale", "0.01", "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    methods = json.loads(done.stdout)["re-ranking"]["methods"]
    assert set(methods) == {"resight, re-ranked", "plain NumPy, re-ranked"}
    assert all(one["megabytes"] > 0 < one["times_seconds"] for one in methods.values())
