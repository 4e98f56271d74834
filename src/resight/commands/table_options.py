"""What ``resight reproduce`` and ``resight sweep`` share: options, running and printing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from resight.commands.options import Device, Flag, Json
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.interruption import SAME_COMMAND, resumable
from resight.progress import clock, say

if TYPE_CHECKING:
    from resight.tables.plan import Request, TablePlan


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How runs are made and where the results go.

    Args:
        runs: number of runs of each row, with the seeds 0, 1, ...
        epochs_scale: share of each recipe's epochs to train, such as 0.1; schedules are shortened alike.
        jobs: number of processes that train at the same time.
        dry_run: say what would run, how long it takes and how much disk it needs, and stop.
        other_versions: use finished runs of other versions of Resight too.
        out: folder of the runs. Finished runs there are found by recipe, seed and data, and not repeated.
        write: folder for the result as Markdown, CSV, JSON and LaTeX, and for the plot.
    """

    runs: int | None = None
    epochs_scale: float = 1.0
    jobs: int = 1
    dry_run: Flag = False
    other_versions: Flag = False
    out: Path = Path("runs/tables")
    write: Path | None = None
    device: Device = "auto"
    json: Json = False


DEFAULT_RUNS = RunOptions()


def run_and_print(request: "Request", options: RunOptions) -> None:
    """Plan a table, say what it takes, run what is missing, and print the result."""
    if options.jobs < 1:
        raise UserError(f"--jobs must be 1 or more; got {options.jobs}.")
    for option, folder in (("--out", options.out), ("--write", options.write)):
        for place in (folder, *folder.absolute().parents) if folder is not None else ():
            if place.exists() and not place.is_dir():
                raise UserError(f"{option} names a folder, and {place} is none. Name another one.")
    with resumable(SAME_COMMAND):
        from resight.tables.collecting import collect
        from resight.tables.estimate import estimate
        from resight.tables.plan import make_plan
        from resight.tables.running import run_jobs

        plan = make_plan(request)
        todo = [job for job in plan.jobs.values() if not job.finished]
        needs = estimate(todo, options.device, options.out) if todo else None
        if needs is not None:
            several = "" if len(plan.jobs) == 1 else "s"
            say(
                f"{len(plan.jobs)} run{several}, {len(todo)} to train: about {clock(needs.seconds)} in all, "
                f"one after the other, and {needs.disk / 1e9:.1f} GB of {needs.free / 1e9:.1f} GB that are "
                "free."
            )
        reasons = [f"{', '.join(rows)}: {why}" for why, rows in _by_reason(plan).items()]
        if not plan.jobs and all(planned.column.data for planned in plan.columns):
            listed = "\n".join(reasons) or "Other data can stand for no row of it."
            raise UserError(f"Nothing of {request.name} can run.\n{listed}")
        for line in reasons:
            say(f"Cannot run {line}")
        if options.dry_run:
            _print_plan(plan, needs.seconds if needs else 0.0, needs.disk if needs else 0, options.json)
            return
        if needs is not None:
            needs.check(options.out)
        failed = run_jobs(plan, options.jobs)
    result = collect(plan, failed)
    if options.write is not None:
        from resight.tables.formats import write_all

        for path in write_all(result, options.write):
            say(f"Wrote {path}")
    if options.json:
        print_json(result.model_dump(mode="json"))
    else:
        from resight.tables.sheets import footnotes, sheets_of

        for sheet in sheets_of(result):
            print_table(sheet.columns, sheet.rows, title=sheet.title, left=sheet.left)
        for line in footnotes(result):
            print(line)
    if failed:
        jobs = len({what.partition("/")[0] for what in failed})
        are = "is" if jobs == 1 else "are"
        raise UserError(f"{jobs} of {len(plan.jobs)} runs {are} not complete; the result says why.")


def _by_reason(plan: "TablePlan") -> dict[str, list[str]]:
    """Return why rows cannot run -> which."""
    found: dict[str, dict[str, None]] = {}
    for (row, _), why in plan.reasons.items():
        found.setdefault(why, {})[row] = None
    return {why: list(rows) for why, rows in found.items()}


def _print_plan(plan: "TablePlan", seconds: float, disk: int, json: bool) -> None:
    rows_of: dict[str, dict[str, None]] = {}
    for (row, _, _), (digest, _) in plan.cells.items():
        rows_of.setdefault(digest, {})[row] = None
    rows: Sequence[dict[str, object]] = [
        {
            "rows": list(rows_of[job.digest]),
            "run": str(job.folder),
            "recipe": job.recipe.name,
            "seed": job.recipe.seed,
            "epochs": job.recipe.epochs,
            "crops": job.trained.data.name,
            "state": "complete" if job.complete else "to test" if job.finished else "to train",
        }
        for job in plan.jobs.values()
    ]
    if json:
        reasons = [{"row": row, "why": why} for (row, _), why in plan.reasons.items()]
        print_json(
            {"runs": rows, "seconds": round(seconds), "disk": disk, "conditions": plan.conditions}
            | {"cannot_run": reasons}
        )
        return
    if not rows:
        print("Nothing would be trained.")
        return
    title = ", ".join([plan.request.table.title, *plan.conditions])
    print_table(
        ["Rows", "Run", "Epochs", "Data", "State"],
        [
            ["; ".join(rows_of[job.digest]), job.folder.name, row["epochs"], row["crops"], row["state"]]
            for job, row in zip(plan.jobs.values(), rows, strict=True)
        ],
        title=title,
        left=(0, 1),
    )
