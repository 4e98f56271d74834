"""A process that draws one part of a set for ``generate``, and writes a byte to standard output per crop."""

import os
import signal
import sys
from pathlib import Path

from resight.errors import UserError
from resight.people.generate import draw, read_settings
from resight.people.plan import PlanSettings


def main(folder: str, part: str, parts: str) -> None:
    """Draw this part of the set in the folder; user errors are sentences on standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    out = sys.stdout.buffer

    def advance() -> None:
        out.write(b".")
        out.flush()

    try:
        draw(Path(folder), PlanSettings(**read_settings(Path(folder))), int(part), int(parts), advance)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os._exit(1)  # the reader has ended


if __name__ == "__main__":
    main(*sys.argv[1:])
