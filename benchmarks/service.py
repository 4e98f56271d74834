"""A service under load: 50 clients on loopback, one minute; requests a second, percentiles, errors, memory.

    python benchmarks/service.py [--clients 50] [--seconds 60] [--json]
    python benchmarks/service.py --run RUN --gallery GALLERY [--runtime torch]

Without --gallery it draws 200 synthetic persons before 5 cameras and adds their crops by an untrained
HAN(Small); --folder keeps both for the next call. The clients are one other process with plain sockets
(``service_clients.py``). The service asks nobody for a token on loopback, and limits nobody's rate there
unless it is told to: no limit is measured.

start       seconds from the start of the process to the first answer, and to the first search answered
mixed       uploaded pictures and stored crops searched for, thumbnails, pages of items; each client sends its
            next request as soon as the last is answered, so the service is as busy as it can be
paced       the same mix, but every client waits a second or so in between, as people do
searches    uploads only: one client, and all; the service as it is, and one that describes one picture at
            a time

Memory is the server's resident set, each second. It is flat if the last third of the minute takes no more
than 2 % above the second.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

MIX = {"upload search": 2, "stored search": 2, "thumbnail": 5, "items": 1}
UPLOADS = {"upload search": 1}
START_BOUND, FLAT = 5.0, 1.02
RESIGHT = "from resight.commands.main import main; main()"
THREADS = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; "  # as the command has it, before NumPy comes
ALONE = THREADS + "import resight.service.batching as batching; batching.MAX_BATCH = 1; "
TICKS = os.sysconf("SC_CLK_TCK")


def prepare(folder: Path) -> tuple[Path, Path]:
    """Return a gallery of synthetic persons and its model's weights; both are made if they are not there."""
    import torch

    from resight.models.network import MODELS, build_model
    from resight.models.weights import save_weights
    from resight.people.generate import synthesize

    synthesize(folder / "people", persons=200, cameras=5, crops=4, height=256)
    weights, gallery = folder / "weights.safetensors", folder / "gallery"
    if not weights.exists():
        torch.manual_seed(0)
        save_weights(build_model("han", 751, **MODELS.get("han").variants["han-small"]), weights)
    adding = ["add", str(folder / "people"), "--gallery", str(gallery), "--model", str(weights)]
    subprocess.run([sys.executable, "-c", RESIGHT, "gallery", *adding], check=True, stdout=subprocess.DEVNULL)
    return gallery, weights


class Server:
    """A running ``resight serve``; a context manager.

    Args:
        gallery, run: what it serves, and its model; None for the gallery's own.
        runtime: that embeds uploads.
        batching: describe the pictures of several requests at once.
    """

    def __init__(self, gallery: Path, run: Path | None, runtime: str, *, batching: bool = True) -> None:
        code = RESIGHT if batching else ALONE + RESIGHT
        model = [] if run is None else ["--model", str(run)]
        command = [sys.executable, "-c", code, "serve", "--gallery", str(gallery), "--port", "0", *model]
        command += ["--runtime", runtime]
        self._begin = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            self._ask_first()
        except BaseException:
            self._process.kill()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def get(self, path: str) -> bytes:
        """Return what the service answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            contents: bytes = answer.read()
        return contents

    def load(
        self, clients: int, seconds: float, mix: dict[str, int], pause: float = 0.0, seed: int = 0
    ) -> dict[str, Any]:
        """Let clients send requests, and return what they saw and what the server used meanwhile."""
        told = {
            "port": self.port,
            "ids": self.ids,
            "pictures": [one.hex() for one in self.pictures],
            "clients": clients,
            "seconds": seconds,
            "mix": mix,
            "pause": pause,
            "seed": seed,
        }
        described, busy = self._described(), self._cpu()
        memory: list[float] = []
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(memory, over))
        watch.start()
        try:
            script = Path(__file__).with_name("service_clients.py")
            done = subprocess.run(
                [sys.executable, str(script)],
                input=json.dumps(told),
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            over.set()
            watch.join()
        result: dict[str, Any] = json.loads(done.stdout)
        batches, pictures = (now - then for now, then in zip(self._described(), described, strict=True))
        return result | {
            "clients": clients,
            "pause": pause,
            "pictures_a_batch": round(pictures / batches, 2) if batches else None,
            "server_cores": round((self._cpu() - busy) / result["seconds"], 2),
            "client_cores": round(result.pop("client_cpu_seconds") / result["seconds"], 2),
            "memory_mb": memory,
        }

    def _ask_first(self) -> None:
        self.port = self._told_port()
        self.get("/health")
        self.first_answer = time.perf_counter() - self._begin
        self.ids = [crop["id"] for crop in json.loads(self.get("/api/items?top=200"))["items"]]
        self.pictures = [self.get(f"/api/items/{identity}/picture") for identity in self.ids[:100]]
        first = self.load(1, 0.2, UPLOADS)
        self.first_search = self.first_answer + first["kinds"]["all"]["max_ms"] / 1000

    def _told_port(self) -> int:
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if line.startswith("Open http"):
                threading.Thread(target=self._process.stderr.read, daemon=True).start()
                return int(line.split("/")[2].rpartition(":")[2])
        raise SystemExit("The service did not start:\n" + "".join(said))

    def _watch(self, memory: list[float], over: threading.Event) -> None:
        while not over.wait(1.0):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            memory.append(round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1))

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _described(self) -> tuple[float, float]:
        """Return how many batches the model described so far, and how many pictures."""
        lines = dict(line.rpartition(" ")[::2] for line in self.get("/metrics").decode().splitlines())
        return float(lines["resight_batch_pictures_count"]), float(lines["resight_batch_pictures_sum"])


def growth(memory: list[float]) -> float | None:
    """Return the last third's mean over the second's, or None for too short a run."""
    third = len(memory) // 3
    if third < 3:
        return None
    return round(statistics.mean(memory[-third:]) / statistics.mean(memory[-2 * third : -third]), 4)


def measure(gallery: Path, run: Path | None, runtime: str, clients: int, seconds: float) -> dict[str, Any]:
    """Measure everything."""
    starts = []
    for _ in range(3):
        with Server(gallery, run, runtime) as server:
            starts.append((server.first_answer, server.first_search))
    with Server(gallery, run, runtime) as server:
        about = json.loads(server.get("/api/gallery"))
        mixed = server.load(clients, seconds, MIX)
        paced = server.load(clients, seconds / 3, MIX, pause=1.0, seed=1)
    searches = []
    for turn in range(2):  # twice, so that what else the machine does falls on both
        for batching in (True, False):
            with Server(gallery, run, runtime, batching=batching) as server:
                for many in (1, clients):
                    found = server.load(many, seconds / 4, UPLOADS, seed=turn)
                    searches.append({"batching": batching, **found})
    first, search = (statistics.median(column) for column in zip(*starts, strict=True))
    return {
        "crops": about["crops"],
        "model": about["model"]["name"],
        "width": about["model"]["width"],
        "start_seconds": round(first, 2),
        "start_to_search_seconds": round(search, 2),
        "mixed": mixed | {"memory_growth": growth(mixed["memory_mb"])},
        "paced": paced,
        "searches": searches,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.processor() or platform.machine(),
    }


def tell(result: dict[str, Any]) -> None:
    """Print it as text."""
    print(f"{result['crops']:,} crops, {result['model']}, {result['width']} numbers each", end="; ")
    print(f"{result['cores']} cores, load {result['load']}")
    kept = "kept" if result["start_to_search_seconds"] < START_BOUND else "MISSED"
    print(f"start: first answer after {result['start_seconds']} s, first search after", end=" ")
    print(f"{result['start_to_search_seconds']} s (bound {START_BOUND:.0f} s: {kept})")
    for name in ("mixed", "paced"):
        one = result[name]
        print(f"\n{name}: {one['clients']} clients, {one['seconds']:.0f} s", end=", ")
        print(f"{one['requests']:,} requests, errors: {one['errors'] or 'none'}", end="; ")
        print(f"server {one['server_cores']} cores, clients {one['client_cores']}", end="; ")
        print(f"{one['pictures_a_batch']} pictures a batch")
        table(["", "requests/s", "p50, ms", "p95, ms", "p99, ms", "longest, ms"])
        for kind, found in one["kinds"].items():
            times = [f"{found[key]:,.0f}" for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
            row([kind, found["a_second"], *times])
    mixed = result["mixed"]
    if mixed["memory_growth"] is not None:
        memory = mixed["memory_mb"]
        flat = "flat" if mixed["memory_growth"] <= FLAT else "GROWS"
        print(f"\nmemory: {memory[0]:,.0f} MB at first, {max(memory):,.0f} at most", end=", ")
        print(f"{memory[-1]:,.0f} at last; last third / second {mixed['memory_growth']} ({flat})")
    print()
    table(["batching", "clients", "searches/s", "p50, ms", "p95, ms", "pictures a batch"])
    for one in result["searches"]:
        found = one["kinds"]["all"]
        times = [f"{found[key]:,.0f}" for key in ("p50_ms", "p95_ms")]
        state = "on" if one["batching"] else "off"
        row([state, one["clients"], found["a_second"], *times, one["pictures_a_batch"]])


def table(columns: list[str]) -> None:
    """Print the head of a table."""
    row(columns)
    row(["---", *["---:"] * (len(columns) - 1)])


def row(cells: list[Any]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of the mixed load; the others take a part of it"
    )
    parser.add_argument("--gallery", type=Path, help="folder of a gallery; by default one is made")
    parser.add_argument("--run", type=Path, help="run or weights; by default the gallery's own")
    parser.add_argument("--runtime", default="auto", choices=("auto", "torch", "onnxruntime", "openvino"))
    parser.add_argument("--folder", type=Path, help="where the gallery that is made stays")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        gallery, run = options.gallery, options.run
        if gallery is None:
            gallery, weights = prepare(options.folder or Path(temporary))
            run = run or weights
        result = measure(gallery, run, options.runtime, options.clients, options.seconds)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        tell(result)


if __name__ == "__main__":
    main()
