"""A process that draws one part of a set for ``generate``: a byte on standard output for each crop."""

import os
import signal
import sys
from pathlib import Path

from resight.errors import UserError
from resight.people.generate import draw, read_settings
from resight.people.plan import PlanSettings


def main(folder: str, part: str, parts: str) -> None:
    """Draw that part of the set in the folder; a user's mistake is a sentence on standard error."""
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
        os._exit(1)  # nobody reads any more


if __name__ == "__main__":
    main(*sys.argv[1:])
