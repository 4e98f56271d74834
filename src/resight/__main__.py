"""``python -m resight``, which is also what ``torchrun -m resight`` starts."""

from resight.commands.main import run

if __name__ == "__main__":
    run()
