"""What second-order attention costs SONA-Net: forward time with it over without it, peak memory in training.

Needs no data: python benchmarks/attention.py [--device cuda] [--batch 4] [--input 384 128] [--json] [--write]

Rounds alternate between the networks, so that a busy machine slows all of them, and a ratio is the median of
the rounds' ratios. "written out" is SONA^2 with Eq. 2 as it stands in the paper, hw x hw matrix and all. The
paper's own ratio is 8.44 / 7.89 ms = 1.07, on a Titan Xp, one crop at a time (Section 3.5): the bound of
SONA^2 on a GPU; 1.15 is that on a CPU. --write keeps the result as benchmarks/results/attention-DEVICE.json.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.device import autocast, resolve_device
from resight.memory import keep_freed_memory
from resight.models.attention import second_order
from resight.models.folding import folded
from resight.models.network import Network, build_model
from resight.models.sona import SONA
from resight.training.run import machine

NETWORKS = {
    "without": {**SONA.variants["sona-2"], "attention": None},
    "sona-2": SONA.variants["sona-2"],
    "written out": SONA.variants["sona-2"],
    "sona-3": SONA.variants["sona-3"],
    "sona-23": SONA.variants["sona-23"],
}
PERSONS = 751
BOUNDS = {"cuda": 1.07, "cpu": 1.15}
"""What forward time with SONA^2 over without may be."""

RESULTS = Path(__file__).parent / "results"
FUSED = second_order._attended


def main() -> None:
    """Measure each network and print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--input", type=int, nargs=2, default=(384, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help="keep it in benchmarks/results")
    parser.add_argument("--memory-of", choices=tuple(NETWORKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(peak_memory(options.memory_of, options)))
        return
    memory = {name: memory_in_a_child(name) for name in NETWORKS}
    times = forward_times(options)
    result = {
        name: {
            "forward_ms": round(1000 * median(seconds), 2),
            "ratio": round(median(a / b for a, b in zip(seconds, times["without"], strict=True)), 3),
            "peak_mib": memory[name],
        }
        for name, seconds in times.items()
    }
    device = resolve_device(options.device)
    bound = BOUNDS[device.type]
    kept = result["sona-2"]["ratio"] <= bound
    asked = {key: getattr(options, key) for key in ("batch", "input", "precision", "rounds")}
    facts = {"machine": machine(device), **asked, "networks": result, "bound": bound, "kept": kept}
    text = json.dumps(facts, indent=2)
    if options.write:
        (RESULTS / f"attention-{device.type}.json").write_text(text + "\n")
    if options.json:
        print(text)
        return
    print(
        f"batches of {options.batch}, {options.input[0]}x{options.input[1]} pixels, {options.rounds} rounds"
    )
    for name, found in result.items():
        print(
            f"{name:12} forward {found['forward_ms']:8.2f} ms  ratio {found['ratio']:.3f}  "
            f"a training step's peak memory {found['peak_mib']:6.0f} MiB"
        )
    print(f"sona-2's ratio may be {bound}: {'kept' if kept else 'NOT kept'}")


def forward_times(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of one forward pass of each network in each round, networks prepared for use."""
    keep_freed_memory()
    device = resolve_device(options.device)
    images = inputs(options, device)
    networks = {name: folded(network(name, options)).to(device) for name in NETWORKS}
    for module in networks.values():
        module.to(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {name: [] for name in NETWORKS}
    with torch.inference_mode(), autocast(device, options.precision):
        for number in range(options.rounds + 1):
            for name, model in networks.items():
                print(f"round {number} of {options.rounds}: {name}", file=sys.stderr)
                choose(name)
                started = now(device)
                model(images)
                times[name].append(now(device) - started)
    return {name: seconds[1:] for name, seconds in times.items()}  # the first round warms up


def memory_in_a_child(name: str) -> float:
    """Return ``peak_memory`` of a network, measured in a process of its own."""
    print(f"peak memory: {name}", file=sys.stderr)
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """Return the MiB that one forward and backward pass in training adds to a process, at its peak.

    With two crops at least: batch normalisation cannot train on one.
    """
    options.batch = max(2, options.batch)
    device = resolve_device(options.device)
    choose(name)
    model = network(name, options).to(device).to(memory_format=torch.channels_last).train()
    train(
        model, inputs(options, device)[:2, :, :64, :64].contiguous(memory_format=torch.channels_last), options
    )
    images = inputs(options, device)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        train(model, images, options)
        return round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (Linux)
    before = status("VmRSS")
    train(model, images, options)
    return round((status("VmHWM") - before) / 2**10, 1)


def status(key: str) -> int:
    """Return a figure of this process in KiB, of which ``VmHWM`` is its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def train(model: Network, images: Tensor, options: argparse.Namespace) -> None:
    """Run one forward and backward pass."""
    with autocast(images.device, options.precision):
        branches = model(images).branches.values()
    persons = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    torch.stack(
        [functional.cross_entropy(branch.logits.float(), persons) for branch in branches]
    ).sum().backward()


def network(name: str, options: argparse.Namespace) -> Network:
    """Build a network whose attention does not begin as the identity."""
    torch.manual_seed(0)
    model = build_model("sona", PERSONS, **NETWORKS[name], input_size=tuple(options.input))
    for module in model.modules():
        if isinstance(module, second_order.SecondOrder):
            nn.init.normal_(module.p.weight, std=0.01)
    return model


def inputs(options: argparse.Namespace, device: torch.device) -> Tensor:
    """Return a batch of noise, channels last."""
    images = torch.randn(options.batch, 3, *options.input, device=device)
    return images.contiguous(memory_format=torch.channels_last)


def choose(name: str) -> None:
    """Let the attention modules compute as that network's do."""
    second_order._attended = written_out if name == "written out" else FUSED


def written_out(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Compute Eq. 2 with its matrix [B, hw, hw]."""
    sigma = query.flatten(2).transpose(1, 2) @ key.flatten(2)
    z = torch.softmax(scale * sigma, dim=2) @ value.flatten(2).transpose(1, 2)
    return z.transpose(1, 2).reshape(value.shape)


def now(device: torch.device) -> float:
    """Return the time once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
