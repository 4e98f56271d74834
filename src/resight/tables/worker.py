"""A process that takes a share of a table's runs for ``running``."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from resight.errors import UserError
from resight.files import write_json
from resight.interruption import SAME_COMMAND, resumable
from resight.tables.plan import Request, make_plan
from resight.tables.running import POLL, run_in_turn


def main(request: str, reasons: str, parent: str) -> None:
    """Run what is missing of the request in a file, and write why some of it could not run to another one.

    It ends with the process ``parent``, which may have been killed.
    """
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    try:
        with resumable(SAME_COMMAND):
            plan = make_plan(Request.model_validate_json(Path(request).read_text(encoding="utf-8")))
            write_json(Path(reasons), run_in_turn(plan, list(plan.jobs.values())))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with(parent: int) -> None:
    """Interrupt this process, so that it writes a checkpoint, once it has another parent."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
