"""A process that draws one part of a set; see ``generate``. It writes one byte for each crop to standard output."""

import signal
import sys
from pathlib import Path

from resight.errors import UserError
from resight.people.generate import Settings, draw, read_settings


def main(folder: str, part: str, parts: str) -> None:
    """Draw that part of the set in the folder; a mistake that the user can mend is one line on standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    out = sys.stdout.buffer

    def advance() -> None:
        out.write(b".")
        out.flush()

    try:
        draw(Path(folder), Settings(**read_settings(Path(folder))), int(part), int(parts), advance)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]  # nobody reads any more: leave without a word
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
