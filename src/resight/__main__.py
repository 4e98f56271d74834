"""The program ``resight``; also ``python -m resight``, which is what ``torchrun -m resight`` starts."""

import sys


def run() -> None:
    """Run the command line and exit, also if Ctrl-C comes while it is being imported."""
    try:
        from resight.commands.main import run as run_commands
    except KeyboardInterrupt:
        print("resight: interrupted.", file=sys.stderr)
        sys.exit(130)
    run_commands()


if __name__ == "__main__":
    run()
