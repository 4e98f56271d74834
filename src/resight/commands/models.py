"""``resight models``: parameters, FLOPs and sizes of the networks."""

from typing import Annotated, Any

from cyclopts import Parameter

from resight.commands.output import print_json, print_table


def models(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the networks: parameters, multiply-adds, FLOPs (twice that), input and embedding size.

    Identity classifiers are not counted, because they are only used in training.

    Args:
        json: print a JSON list of objects.
    """
    rows = _figures()
    if json:
        print_json(rows)
        return
    print_table(
        ("network", "parameters", "multiply-adds", "FLOPs", "input", "embedding"),
        [
            (
                row["name"],
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:.3g}".replace("e+0", "e"),
                f"{row['flops']:.3g}".replace("e+0", "e"),
                "x".join(map(str, row["input"])),
                row["embedding"],
            )
            for row in rows
        ],
    )


def _figures() -> list[dict[str, Any]]:
    from dataclasses import asdict

    import torch

    from resight.models.complexity import measure
    from resight.models.network import MODELS, Network, build_model

    rows = []
    for model in MODELS.names():
        component = MODELS.get(model)
        assert isinstance(component, type)
        assert issubclass(component, Network)
        for name, settings in (component.variants or {model: {}}).items():
            with torch.device("meta"):
                network = build_model(model, 1, **settings)
            rows.append({"name": name, **asdict(measure(network))})
    return rows
