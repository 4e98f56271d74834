"""``resight model list``."""

import json

import pytest

from resight.commands.main import app
from resight.models.network import MODELS

KEYS = ["name", "parameters", "multiply_adds", "flops", "input", "embedding"]


@pytest.mark.parametrize(
    "models", [["han", "sal"], pytest.param(MODELS.names(), id="all", marks=pytest.mark.slow)]
)
def test_json_is_one_list_of_objects(
    models: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODELS, "names", lambda: models)
    app(["model", "list", "--json"], result_action="return_value")
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert captured.err == ""
    assert all(list(row) == KEYS for row in rows)
    assert all(row["flops"] == 2 * row["multiply_adds"] for row in rows)
    found = {row["name"]: row for row in rows}
    published = {"small": 3.68e8, "medium": 5.33e8, "large": 7.01e8, "inception": 1.09e9, "residual": 1.34e9}
    for name, flops in published.items():
        row = found[f"han-{name}"]
        assert row["flops"] == pytest.approx(flops, rel=0.02)
        assert row["input"] == [160, 64]
        assert row["embedding"] == 1024


def test_the_table_names_each_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one model, as measuring all takes ten seconds."""
    monkeypatch.setattr(MODELS, "names", lambda: ["han"])
    app(["model", "list"], result_action="return_value")
    shown = capsys.readouterr().out
    for word in ("han-small", "han-residual", "2,022,466", "3.71e8", "160x64"):
        assert word in shown
