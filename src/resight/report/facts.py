"""The facts of a run, as groups of short lines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resight.data.benchmark import Benchmark
from resight.progress import clock
from resight.training.run import Run, describe_data


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts under a heading: (name, value) each."""

    title: str
    entries: tuple[tuple[str, str], ...]


def facts_of(run: Run, benchmark: Benchmark) -> list[Facts]:
    """Return the facts about model, training, machine, training data and test."""
    info, model = run.info, run.info["model"]
    trained, tested = info["data"], describe_data(benchmark)
    height, width = model["input"]
    training = (
        ("Recipe", run.recipe.name),
        ("Metadata", run.recipe.description),
        ("Source", run.recipe.source),
        ("Seed", str(info["seed"])),
        ("Length", f"{info['epochs']} epochs, {info['steps']:,} steps"),
        ("Time", f"{clock(info['seconds'])} in training steps"),
        ("Speed", _speed(run)),
    )
    network = (
        ("Network", model["name"]),
        ("Input", f"{height} × {width} pixels"),
        ("Embedding", f"{model['embedding']:,} numbers"),
        ("Parameters", f"{model['parameters'] / 1e6:.2f} million"),
        ("Operations", f"{model['multiply_adds'] / 1e6:.0f} million multiply-adds per crop"),
    )
    data = [("Trained on", trained["name"]), ("", _count(trained["counts"]["train"]))]
    if trained["name"] != tested["name"]:
        data.append(("Tested on", tested["name"]))
    data += [(name.capitalize(), _count(tested["counts"][name])) for name in ("query", "gallery")]
    data.append(("Protocol", tested["protocol"]))
    machine = info["machine"]
    place = (
        ("Processor", f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores"),
        ("GPU", machine["gpu"] or ""),
        ("System", machine["system"]),
        ("Precision", info["precision"]),
        ("Versions", ", ".join(f"{name} {version}" for name, version in info["versions"].items())),
        ("Finished", _date(info["finished"])),
    )
    groups = {"Training": training, "Network": network, "Data": tuple(data), "Machine": place}
    return [Facts(title, tuple(entry for entry in entries if entry[1])) for title, entries in groups.items()]


def _count(counts: dict[str, Any]) -> str:
    parts = [f"{counts['crops']:,} crops", f"{counts['persons']:,} persons"]
    if counts["cameras"]:
        parts.append(f"{counts['cameras']} cameras")
    return ", ".join(parts)


def _speed(run: Run) -> str:
    epochs = [line["crops_per_second"] for line in run.metrics() if line["kind"] == "epoch"]
    return f"{sum(epochs) / len(epochs):,.0f} crops per second" if epochs else ""


def _date(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
