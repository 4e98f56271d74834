"""How to call ``resight`` from the shell that the user is in."""

import os
import shlex
import shutil
import sys
from pathlib import Path

STARTED = os.getpid(), os.getppid()
"""This process and the one that started it; those of its parent in a process that was forked later."""


def command_line(*words: object) -> str:
    """Return a line that calls ``resight``: by name where the shell finds this one, else by its path.

    Args:
        words: the command and its arguments.
    """
    here, found = Path(sys.executable).with_name("resight"), shutil.which("resight")
    if not here.exists() or (found is not None and os.path.samefile(found, here)):
        program = Path("resight")
    else:
        program = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    return shlex.join(map(str, (program, *words)))


def same_processes(*words: object) -> str:
    """Return a line that calls ``resight`` in as many processes as torchrun started, or else in one.

    Args:
        words: the command and its arguments.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return command_line(*words)
    on_one_machine = os.environ["WORLD_SIZE"] == os.environ["LOCAL_WORLD_SIZE"]
    options = f"--nproc-per-node {os.environ['WORLD_SIZE']}" if on_one_machine else "(with its options)"
    return f"torchrun {options} -m resight {shlex.join(map(str, words))}"
