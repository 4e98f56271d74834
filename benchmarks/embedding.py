"""Crops a second of 'resight embed', from image files to the finished folder, beside the bare network.

Needs no data: python benchmarks/embedding.py [--models han-small resnet-50] [--scale 0.1] [--json]. It draws
JPEGs, then embeds them; right before or after (in turn), the same network, ready for use, embeds as many
crops that lie in memory. Read the ratio: what else the machine does falls on both; where it does much else,
read that of CPU time. The bound is 90 %. Everything counts: hashing and folding the network,
reading, decoding, writing, and putting the chunks together. So it shows only with many crops.

The bare network is ours: folded, in channels_last, as ``embed`` uses it. What plain PyTorch makes of it,
``network.eval()(images)`` on normalised images in the same precision, is told beside it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from loading import make_crops

from resight.device import Precision, autocast, resolve_device
from resight.features.crop_list import crops_to_embed
from resight.features.embedding import embed_crops
from resight.inference.embedder import Embedder
from resight.models.network import MODELS, Network, build_model

MODEL_OF = {"han-small": "han", "resnet-50": "pooled", "osnet": "pooled", "sona-2": "sona"}
CROPS = {"han-small": 8192, "osnet": 4096}
FEWER = 1024  # of the others
BOUND = 0.9
PERSONS = 751


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=tuple(MODEL_OF), default=("han-small", "resnet-50"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of crops")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            count = max(options.batch, round(CROPS.get(name, FEWER) * options.scale))
            results[name] = measure(name, count, Path(folder) / name, options)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(
        f"{resolve_device(options.device)}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, "
        f"batches of {options.batch}, precision {options.precision}, medians of {options.rounds}"
    )
    for name, found in results.items():
        verdict = "kept" if found["ratio"] >= BOUND else "MISSED"
        rounds = ", ".join(f"{ratio:.3f}" for ratio in found["ratios"])
        print(f"{name}, {found['crops']:,} crops: bare {found['bare']:,.1f}/s, embed {found['embed']:,.1f}/s")
        print(f"  plain PyTorch {found['plain']:,.1f}/s")
        print(f"  ratio {found['ratio']:.3f} (rounds: {rounds}), of CPU time {found['cpu_ratio']:.3f}")
        print(f"  bound {BOUND}: {verdict}")


def measure(name: str, count: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return crops a second of both, and how much the bare network is faster: times, and CPU times."""
    folder.mkdir()
    make_crops(folder / "crops", count)
    crops = crops_to_embed(folder / "crops")
    torch.manual_seed(0)
    model = MODEL_OF[name]
    network = build_model(model, PERSONS, **MODELS.get(model).variants[name])
    device = resolve_device(options.device)

    def make_embedder() -> Embedder:
        return Embedder(network, device=options.device, precision=options.precision, batch_size=options.batch)

    embedder = make_embedder()
    shape = (options.batch, *network.picture_size, 3)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {"bare": [], "embed": []}
    cpu: dict[str, list[float]] = {"bare": [], "embed": []}
    slow = plain(network.to(device).eval(), pixels, count // 8, options.precision)
    network.cpu()
    for number in range(options.rounds + 1):
        for kind in ("bare", "embed") if number % 2 else ("embed", "bare"):
            print(f"{name}, round {number} of {options.rounds}: {kind}", file=sys.stderr)
            start, begin = time.perf_counter(), time.process_time()
            if kind == "bare":
                bare(embedder, pixels, count)
            else:
                embed_crops(make_embedder(), crops, folder / f"out{number}")
            times[kind].append(time.perf_counter() - start)
            cpu[kind].append(time.process_time() - begin)
            print(f"  {count / times[kind][-1]:,.1f}/s", file=sys.stderr)
    ratios, cpu_ratios = (
        [bare / mine for bare, mine in zip(spent["bare"][1:], spent["embed"][1:], strict=True)]
        for spent in (times, cpu)
    )
    return {
        "crops": count,
        **{kind: count / median(spent[1:]) for kind, spent in times.items()},
        "plain": slow,
        "ratio": median(ratios),
        "cpu_ratio": median(cpu_ratios),
        "ratios": ratios,
    }


def bare(embedder: Embedder, pixels: torch.Tensor, count: int) -> None:
    """Embed a batch in memory until ``count`` crops are done, and bring the features back."""
    for start in range(0, count, len(pixels)):
        embedder.compute(pixels[: count - start]).cpu()


@torch.inference_mode()
def plain(network: Network, pixels: torch.Tensor, count: int, precision: Precision) -> float:
    """Return crops a second of the network as PyTorch has it: neither folded nor in channels_last."""
    device = network.mean.device
    images = network.normalise(pixels.permute(0, 3, 1, 2).contiguous().to(device))
    with autocast(device, precision):
        network.embed(images)
        start = time.perf_counter()
        for first in range(0, count, len(images)):
            network.embed(images[: count - first]).cpu()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
