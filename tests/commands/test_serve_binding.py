"""Where a service answers."""

import re
import socket
import subprocess
import sys

import pytest

from resight.commands.serve import _bind
from resight.errors import UserError


def test_who_comes_early_waits_and_answers_are_not_held_back() -> None:
    with _bind("127.0.0.1", 0) as taken:
        assert taken.proto == socket.IPPROTO_TCP  # else asyncio does not set TCP_NODELAY on connections
        with socket.create_connection(taken.getsockname(), timeout=5):
            pass


def test_a_port_that_another_service_has_is_refused_at_once() -> None:
    with _bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=re.escape(f"127.0.0.1:{port}: Address already in use")):
            _bind("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(UserError, match="cannot listen on"):
        _bind("192.0.2.1", 0)


def test_numpy_is_not_imported_before_its_threads_are_chosen() -> None:
    code = "import sys, resight.commands.serve, resight.service.tokens; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
