"""Crops a second of networks by PyTorch, ONNX Runtime and OpenVINO, and by what ``auto`` takes.

Needs no data: python benchmarks/inference.py [--networks han-small osnet] [--batches 1 8 32] [--json].
Runtimes take turns; figures are medians of rounds. ``--clock cpu`` counts the time of this process's threads,
which a busy machine changes less; with it, use ``--threads 1``.

``--avx2`` lets PyTorch and OpenVINO use no more than AVX2. ONNX Runtime has no such switch: its figures are
still of the processor's own instructions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "han-small": ("han", {"size": "small"}),
    "osnet": ("pooled", {"trunk": {"name": "osnet"}, "head": "fc"}),
    "osnet-x0.25": ("pooled", {"trunk": {"name": "osnet", "width": 0.25}, "head": "fc"}),
    "resnet-50": ("pooled", {}),
}
RUNTIMES = ("torch", "onnxruntime", "openvino")
SECONDS = 0.3  # of a turn


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=tuple(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 8, 32))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.avx2 and AVX2.items() - os.environ.items():
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=os.environ | AVX2).returncode)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESIGHT_CACHE"] = folder  # measures anew, and writes the graphs there
        found = {name: measure(name, options) for name in options.networks}
    from resight.device import processor

    facts = {"processor": processor(), "avx2": options.avx2, "threads": options.threads}
    facts |= {"precision": options.precision, "clock": options.clock}
    if options.json:
        print(json.dumps(facts | {"networks": found}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    for name, one in found.items():
        print(f"{name}; auto takes {one['auto']}; largest differences: {one['difference']}")
        for batch, rates in one["rates"].items():
            ratios = (
                f"{runtime} {rate:.1f} ({rate / rates['torch']:.2f}x)" for runtime, rate in rates.items()
            )
            print(f"  batch {batch}: {', '.join(ratios)}")


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return crops a second by batch and runtime, how much vectors differ, and what auto takes."""
    import torch

    from resight.inference.embedder import Embedder
    from resight.inference.runtimes.choice import sample_crops
    from resight.models.network import build_model

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model, settings = NETWORKS[name]
    network = build_model(model, 10, **settings).eval()
    runtimes = [one for one in RUNTIMES if options.precision == "float32" or one != "onnxruntime"]
    embedders = {
        runtime: Embedder(network, device="cpu", precision=options.precision, runtime=runtime)
        for runtime in runtimes
    }
    crops = sample_crops(network.picture_size, max(options.batches))
    expected = embedders["torch"].compute(crops)
    differences = {
        runtime: f"{runtime} {float((one.compute(crops) - expected).abs().max() / expected.abs().max()):.0e}"
        for runtime, one in embedders.items()
        if runtime != "torch"
    }
    rates = {batch: _rates(embedders, crops[:batch], options) for batch in options.batches}
    auto = Embedder(network, device="cpu", precision=options.precision)
    auto.prepare()
    taken = f"{auto.compute.choice.one} for one, {auto.compute.choice.many} for many"
    return {"rates": rates, "difference": ", ".join(differences.values()), "auto": taken}


def _rates(embedders: dict[str, Any], crops: Any, options: argparse.Namespace) -> dict[str, float]:
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {runtime: [] for runtime in embedders}
    repeats = {}
    for number in range(-2, options.rounds):
        for runtime, embedder in embedders.items():
            times = repeats.get(runtime, 1)
            start = clock()
            for _ in range(times):
                embedder.compute(crops)
            spent = (clock() - start) / times
            repeats[runtime] = max(1, int(SECONDS / spent))
            if number >= 0:
                seconds[runtime].append(spent)
    return {runtime: round(len(crops) / median(found), 1) for runtime, found in seconds.items()}


if __name__ == "__main__":
    main()
