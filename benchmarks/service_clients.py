"""Clients of a service, for ``service.py``: one process, plain sockets.

Reads what to do as JSON from standard input, and writes what came back as JSON to standard output.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import numpy as np

BOUNDARY = "resight-benchmark"


class Requests:
    """The requests that clients draw from, as bytes.

    Args:
        port: of the service on loopback.
        ids: of stored crops.
        pictures: JPEG files to search for.
    """

    def __init__(self, port: int, ids: list[str], pictures: list[bytes]) -> None:
        self._port, self._ids = port, ids
        self._uploads = [
            self._post(b'name="pictures"; filename="person.jpg"\r\ncontent-type: image/jpeg', one)
            for one in pictures
        ]

    def draw(self, kind: str, chance: random.Random) -> bytes:
        """Return a request of a kind."""
        identity = chance.choice(self._ids)
        match kind:
            case "upload search":
                return chance.choice(self._uploads)
            case "stored search":
                return self._post(b'name="crop"', identity.encode())
            case "thumbnail":
                return self._head(f"GET /api/items/{identity}/thumbnail")
            case _:
                return self._head(f"GET /api/items?top=50&after_id={identity}")

    def _head(self, what: str, more: str = "") -> bytes:
        return f"{what} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n{more}\r\n".encode()

    def _post(self, named: bytes, value: bytes) -> bytes:
        edge = f"--{BOUNDARY}".encode()
        part = b"\r\ncontent-disposition: form-data; " + named + b"\r\n\r\n" + value + b"\r\n"
        body = edge + part + edge + b"--\r\n"
        kind = f"content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {len(body)}\r\n"
        return self._head("POST /api/search", kind) + body


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    body = await reader.readexactly(int(length))
    status = int(head.split(b" ", 2)[1])
    if status == 200 and not body:
        raise EOFError("an answer without contents")
    return status


async def client(
    number: int, told: dict[str, Any], requests: Requests, end: float, seen: list[tuple[str, float, str]]
) -> None:
    """Send requests until the end, and note kind, seconds and error of each."""
    chance = random.Random(f"{told['seed']} {number}")
    kinds, weights = list(told["mix"]), list(told["mix"].values())
    await asyncio.sleep(chance.uniform(0, min(1.0, told["pause"] or 0.1)))  # not all at the same moment
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while time.perf_counter() < end:
        kind = chance.choices(kinds, weights)[0]
        request = requests.draw(kind, chance)
        begin, error = time.perf_counter(), ""
        try:
            for reused in (True, False) if connection else (False,):
                connection = connection or await asyncio.open_connection("127.0.0.1", told["port"])
                connection[1].write(request)
                try:
                    status = await asyncio.wait_for(answer(connection[0]), 60)
                    break
                except asyncio.IncompleteReadError as failure:
                    connection = None
                    if failure.partial or not reused:
                        raise  # else it was closed while idle: HTTP's clients connect again
            error = "" if status == 200 else str(status)
        except (OSError, EOFError, ValueError, TimeoutError) as failure:
            error, connection = type(failure).__name__, None
        seen.append((kind, time.perf_counter() - begin, error))
        if told["pause"]:
            left = max(0.0, end - time.perf_counter())
            await asyncio.sleep(min(left, chance.expovariate(1 / told["pause"])))
    if connection is not None:
        connection[1].close()


def summed_up(seen: list[tuple[str, float, str]], seconds: float) -> dict[str, Any]:
    """Return requests a second, errors and percentiles of milliseconds, by kind and of all."""
    kinds = defaultdict(list)
    for kind, spent, error in seen:
        if not error:
            kinds[kind].append(1000 * spent)
            kinds["all"].append(1000 * spent)
    return {
        "seconds": round(seconds, 2),
        "requests": len(seen),
        "errors": dict(Counter(error for *_, error in seen if error)),
        "kinds": {
            kind: {
                "requests": len(found),
                "a_second": round(len(found) / seconds, 1),
                **{f"p{which}_ms": round(float(np.percentile(found, which)), 1) for which in (50, 95, 99)},
                "max_ms": round(max(found), 1),
            }
            for kind, found in sorted(kinds.items())
        },
    }


async def run(told: dict[str, Any]) -> dict[str, Any]:
    """Run all clients."""
    requests = Requests(told["port"], told["ids"], [bytes.fromhex(one) for one in told["pictures"]])
    seen: list[tuple[str, float, str]] = []
    begin = time.perf_counter()
    end = begin + told["seconds"]
    await asyncio.gather(*(client(number, told, requests, end, seen) for number in range(told["clients"])))
    return summed_up(seen, time.perf_counter() - begin)


def main() -> None:
    """Run and tell."""
    result = asyncio.run(run(json.load(sys.stdin)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(result | {"client_cpu_seconds": round(used.ru_utime + used.ru_stime, 2)}, sys.stdout)


if __name__ == "__main__":
    main()
