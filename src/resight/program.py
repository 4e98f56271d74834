"""How to call ``resight`` from the shell that the user is in."""

import os
import shlex
import shutil
import sys
from pathlib import Path


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
