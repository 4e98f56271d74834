"""The values of options, as they are typed."""

from pathlib import Path

import pytest
from calling import call


@pytest.mark.parametrize(
    "words", [("--persons", "10.5"), ("--persons", 12, "--crops", "2.0"), ("--seed", "0.1")]
)
def test_a_fraction_of_a_whole_number_is_refused(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cyclopts 5.5.2 rounds it, also to 10 people for 10.5."""
    with pytest.raises(SystemExit):
        call("synthesize", tmp_path / "people", *words)
    said = " ".join(capsys.readouterr().err.replace("│", "").split())
    assert f"Invalid value for {words[-2]}: it must be a whole number; got {words[-1]}." in said
    assert not (tmp_path / "people").exists()
