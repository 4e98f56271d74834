"""``resight serve``: a gallery as a JSON API and as a page on which a person looks for a person."""

import ipaddress
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.commands.detecting import load_detector
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.progress import say
from resight.timestamps import find_zone

if TYPE_CHECKING:
    from resight.gallery.gallery import Gallery
    from resight.service.tokens import Tokens

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
A_MINUTE = 600
"""Requests a minute of one token, where tokens are asked for; a page of results takes about 60 thumbnails."""


def serve(
    gallery: str,
    *,
    model: Path | None = None,
    detector: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8008,
    require_token: Annotated[bool, Parameter(negative="")] = False,
    token_file: Path | None = None,
    audit_log: Path | None = None,
    new_token: Literal["read", "write"] | None = None,
    token_name: str | None = None,
    revoke_token: str | None = None,
    list_tokens: Annotated[bool, Parameter(negative="")] = False,
    requests_per_minute: int | None = None,
    max_upload_mb: float = 32.0,
    max_megapixels: float = 25.0,
    timezone: str | None = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Open a page, and a JSON API, on which a person looks for a person in a gallery.

    On this machine alone (loopback) nobody is asked for a token. Anywhere else everybody is: make some first.

    Args:
        gallery: folder of the gallery, or http://host:6333/NAME.
        model: folder of a run, or a weights.safetensors file; by default the one that made the gallery.
        detector: ONNX file of a YOLOX network, which finds the persons in uploaded pictures.
        host: address to answer at; 0.0.0.0 for all of this machine's.
        port: to answer at; 0 for a free one.
        require_token: ask for a token on loopback too, as behind a proxy.
        token_file: where the tokens' hashes are kept; by default in the gallery's folder.
        audit_log: where searches, marks and deletions are written; by default in the gallery's folder.
        new_token: make a token for reading or for writing, print it, and stop.
        token_name: who the new token is for; the audit log names its holder so.
        revoke_token: take the token of that name out of force, also for a service that runs, and stop.
        list_tokens: print who has tokens, and stop.
        requests_per_minute: of one caller; 600 where tokens are asked for, else any number.
        max_upload_mb: that one request may bring.
        max_megapixels: of one picture.
        timezone: of times without one, and of those shown, such as Europe/Berlin; the machine's by default.
        tls_certificate: PEM file, to answer by HTTPS.
        tls_key: PEM file of its key.
        device: auto, cpu or cuda.
        json: print tokens as one JSON value.
    """
    # Requests are searched for side by side already, and between two of them OpenBLAS' own threads would spin
    # beside the network. It looks at this when NumPy is imported, below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from resight.service.tokens import Tokens

    tokens = Tokens(token_file or _kept(gallery) / "tokens.json")
    if new_token is not None or revoke_token is not None or list_tokens:
        _change_tokens(tokens, new_token, token_name, revoke_token, json)
        return
    start = time.monotonic()
    outside = not _is_loopback(host)
    guarded = outside or require_token
    if guarded and not tokens.all():
        raise UserError(
            f"At {host} everybody needs a token, and there is none yet. Make one: resight serve {gallery} "
            "--new-token read --token-name anna"
            if outside
            else f"There is no token to require yet. Make one: resight serve {gallery} --new-token read"
        )
    if (tls_certificate is None) != (tls_key is None):
        raise UserError("HTTPS takes both: --tls-certificate and --tls-key.")
    if requests_per_minute is not None and requests_per_minute < 1:
        raise UserError(f"--requests-per-minute must be 1 or more; got {requests_per_minute}.")
    if not (max_upload_mb > 0 and max_megapixels > 0):
        raise UserError("--max-upload-mb and --max-megapixels must be more than 0.")
    zone = find_zone(timezone)
    taken = _bind(host, port)

    import torch
    import uvicorn

    from resight.service.app import create_app
    from resight.service.audit import Audit
    from resight.service.batching import Batcher
    from resight.service.core import Service
    from resight.service.framing import Connection
    from resight.service.limits import Limits
    from resight.service.metrics import Metrics
    from resight.service.uploads import UploadReader

    limits = Limits(
        upload_bytes=round(max_upload_mb * 2**20),
        pixels=round(max_megapixels * 1e6),
        a_minute=requests_per_minute if requests_per_minute is not None or not guarded else A_MINUTE,
    )
    audit = Audit(audit_log or _kept(gallery) / "audit.jsonl")
    if audit.broken is not None:
        say(f"Warning: the audit log {audit.path} was changed before line {audit.broken}.")
    metrics = Metrics()
    reader = UploadReader(limits, None if detector is None else load_detector(detector))

    from resight.gallery.gallery import Gallery
    from resight.inference.embedder import Embedder
    from resight.inference.loading import load_model

    # A core is left to those who ask: where threads of the network lack one, all of them wait for it.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - 1)))
    with Gallery.open(gallery, device=device) as opened:
        loaded = opened.load_own_model() if model is None else load_model(model, device=device)
        batcher = Batcher(Embedder(loaded), lambda count, jobs: metrics.batches.observe(count))
        opened.use(batcher)
        service = Service(
            opened,
            reader=reader,
            audit=audit,
            metrics=metrics,
            limits=limits,
            zone=zone,
            network=loaded.network,
        )
        app = create_app(service, tokens=tokens if guarded else None, hosts=(*LOCAL_NAMES, host))
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            ws="none",
            http=Connection,
            proxy_headers=guarded,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=75,  # proxies keep connections for a minute, and fail if we close them first
            ssl_certfile=tls_certificate,
            ssl_keyfile=tls_key,
        )
        address = f"http{'' if tls_key is None else 's'}://{_shown(host)}:{taken.getsockname()[1]}/"
        _tell(opened, address, time.monotonic() - start, audit.path, plain=outside and tls_key is None)
        uvicorn.Server(config).run(sockets=[taken])
    batcher.close()
    audit.close()


def _tell(gallery: "Gallery", address: str, seconds: float, log: Path, *, plain: bool) -> None:
    if plain:
        say(
            "Warning: without --tls-certificate and --tls-key, tokens and pictures cross the network in the "
            "clear. Give them, or put a proxy with TLS in front."
        )
    if gallery.metadata.calibration is None:
        say(
            "Note: the gallery is not calibrated, so no match is called likely: resight gallery calibrate "
            f"--gallery {gallery.place}"
        )
    say(f"{len(gallery):,} crops, ready after {seconds:.1f} s. Searches are logged in {log}.")
    say(f"Open {address} (Ctrl-C stops it)")


def _change_tokens(
    tokens: "Tokens", role: str | None, name: str | None, revoked: str | None, json: bool
) -> None:
    if revoked is not None:
        tokens.revoke(revoked)
        say(f"The token '{revoked}' is out of force.")
    made: str | None = None
    if role is not None:
        name = name or _free_name(role, {token.name for token in tokens.all()})
        made = tokens.add(name, role)
        say(f"A token for '{name}' ({role}), shown this once; its hash is in {tokens.path}:")
    told = [{"name": token.name, "role": token.role, "created": token.created} for token in tokens.all()]
    if json:
        print_json({"token": made, "name": name, "role": role} if made else {"tokens": told})
    elif made:
        print(made)
    elif revoked is None:
        print_table(["Name", "For", "Made"], [[one["name"], one["role"], one["created"]] for one in told])


def _free_name(role: str, taken: set[str]) -> str:
    numbered = (f"{role}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _kept(gallery: str) -> Path:
    """Return the folder of what a service keeps: in the gallery's, or in the user's if that is on a cluster.

    Raises:
        UserError: there is no gallery in that folder.
    """
    from resight.gallery.stores.opening import is_address

    if is_address(gallery):
        from hashlib import blake2b

        state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        return state / "resight" / blake2b(gallery.rstrip("/").encode(), digest_size=8).hexdigest()
    folder = Path(gallery).expanduser()
    if not (folder / "gallery.json").is_file():
        raise UserError(
            f"There is no gallery in {folder} (no gallery.json). Make one: resight gallery add CROPS "
            f"--gallery {folder} --model RUN"
        )
    return folder / "service"


def _bind(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be 0 to 65535; got {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)  # without TCP's number, asyncio leaves Nagle's waits on
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen()  # whoever comes while the model loads waits; a second service is told at once
    except OSError as error:
        raise UserError(
            f"The service cannot answer at {host}:{port}: {error.strerror}. Choose another --port or --host."
        ) from error
    return taken


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
