"""Running the jobs of a plan: in this process, or in several that share the work by lock files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import resight
from resight.errors import UserError
from resight.files import sole_use, write_json
from resight.progress import Bar, clock, say
from resight.tables.jobs import Job
from resight.tables.plan import TablePlan
from resight.tables.scoring import score_job
from resight.threads import available_cores
from resight.training.metrics import LOG, read_metrics
from resight.training.run import INFO
from resight.training.trainer import train

BUSY = "another process is training "
"""Begins the reason of a run that is left to another process."""
POLL = 1.0
"""Seconds between two looks at the worker processes."""
PACE = 1800.0
"""The time left for all runs is computed from the epochs of the last so many seconds."""


def run_jobs(plan: TablePlan, jobs: int) -> dict[str, str]:
    """Train and test what is not complete.

    Returns:
        What is not complete -> the reason: the digest of a job, or ``digest/key`` of one way to test it.

    Args:
        plan: its finished runs are used as they are, and interrupted ones go on.
        jobs: number of processes.

    Raises:
        UserError: a worker process died.
        KeyboardInterrupt: once each running training has written a checkpoint.
    """
    missing = [job for job in plan.jobs.values() if not job.complete]
    if not missing:
        return {}
    if jobs > 1 and len(missing) > 1:
        return _in_processes(plan, missing, min(jobs, len(missing)))
    return run_in_turn(plan, missing)


def run_in_turn(plan: TablePlan, missing: Sequence[Job]) -> dict[str, str]:
    """Train and test each job that no other process is at; return why the others are not complete."""
    reasons: dict[str, str] = {}
    begun = time.monotonic(), sum(map(_epochs, missing))
    for number, job in enumerate(missing, 1):
        if job.complete:
            continue  # another process has finished it meanwhile
        with sole_use(job.folder.parent / f"{job.folder.name}.lock") as free:
            if not free:
                reasons[job.digest] = f"{BUSY}{job.folder}"
                continue
            say(f"Run {number} of {len(missing)}{_time_left(missing, begun)}: {job.folder}")
            failed = _complete(job, plan.request.device)
            reasons |= failed
            for why in dict.fromkeys(failed.values()):
                say(f"Failed: {why}")
    return reasons


def _time_left(jobs: Sequence[Job], begun: tuple[float, int]) -> str:
    """Return how long the rest takes, at the pace since a time with so many epochs; or nothing."""
    (then, before), now = begun, time.monotonic()
    done, total = sum(map(_epochs, jobs)), sum(job.recipe.epochs for job in jobs)
    if done <= before:
        return ""
    return f", about {clock((total - done) * (now - then) / (done - before))} left for all"


def _complete(job: Job, device: str) -> dict[str, str]:
    """Train the job, going on where it was interrupted, and test it; return what failed, and why."""
    try:
        if not job.finished:
            begun = (job.folder / INFO).is_file()
            train(job.recipe, job.trained.data, job.folder, device=device, resume=begun)
        return {f"{job.digest}/{key}": why for key, why in score_job(job, device).items()}
    except UserError as error:
        return {job.digest: str(error)}


def _epochs(job: Job) -> int:
    """Return how many epochs of a job have been trained."""
    if job.finished:
        return job.recipe.epochs
    log = job.folder / LOG
    return sum(line["kind"] == "epoch" for line in read_metrics(log)) if log.is_file() else 0


def _in_processes(plan: TablePlan, missing: Sequence[Job], number: int) -> dict[str, str]:
    """Run workers, each of which takes jobs that no other one has."""
    (plan.request.out / "workers").mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=plan.request.out / "workers"))  # another command may use the same --out
    request = folder / "request.json"
    write_json(request, plan.request.model_dump(mode="json", by_alias=True))
    threads = str(max(1, available_cores() // number))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    root = str(Path(resight.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    say(f"{number} processes with {threads} threads each; what they say is in {folder}.")
    processes, logs = [], []
    try:
        for index in range(number):
            log = (folder / f"{index}.log").open("w", encoding="utf-8")
            logs.append(log)
            reasons_file = folder / f"{index}.json"
            reasons_file.unlink(missing_ok=True)
            arguments = (str(request), str(reasons_file), str(os.getpid()))
            command = [sys.executable, "-m", "resight.tables.worker", *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        total = sum(job.recipe.epochs for job in missing)
        with Bar("Epochs of all runs", total, sum(map(_epochs, missing)), recent=PACE) as bar:
            while any(process.poll() is None for process in processes):
                time.sleep(POLL)
                bar.advance(sum(map(_epochs, missing)) - bar.done)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)  # each writes a checkpoint
        for process in processes:
            process.wait()
        for log in logs:
            log.close()
    found: dict[str, str] = {}
    busy: dict[str, str] = {}
    for index, process in enumerate(processes):
        if process.returncode:
            raise UserError(
                f"Worker {index} ended with the status {process.returncode}; see {folder / f'{index}.log'}. "
                "Run the command again: finished runs are kept, and the others go on."
            )
        for what, why in json.loads((folder / f"{index}.json").read_text(encoding="utf-8")).items():
            (busy if why.startswith(BUSY) else found)[what] = why
    known = {what.partition("/")[0] for what in found}  # the process that was training knows more
    found |= {what: why for what, why in busy.items() if what not in known}
    return {what: why for what, why in found.items() if not plan.jobs[what.partition("/")[0]].complete}
