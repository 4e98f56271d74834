"""Commands as a user types them, run in this process."""

import json
from typing import Any

import pytest

from resight.commands.main import app


def call(*arguments: object) -> None:
    """Run a command."""
    words = [str(argument) for argument in arguments]
    app(words, result_action="return_value", print_error=True, exit_on_error=True)


def call_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Run a command and return the one JSON value on its standard output."""
    capsys.readouterr()
    call(*arguments, "--json")
    return json.loads(capsys.readouterr().out)
