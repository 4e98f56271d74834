"""``resight serve``: a page to search a gallery for persons, and its JSON API."""

import ipaddress
import os
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resight.commands.detecting import load_detector
from resight.commands.options import (
    DetectorFile,
    Device,
    Flag,
    GalleryPlace,
    PersonClass,
    RuntimeName,
    Timezone,
)
from resight.commands.output import print_json, print_table
from resight.errors import UserError
from resight.interruption import resumable
from resight.progress import say
from resight.threads import available_cores
from resight.timestamps import find_zone

if TYPE_CHECKING:
    from resight.gallery.gallery import Gallery
    from resight.service.tokens import Tokens

REQUESTS_PER_MINUTE = 600
"""Default limit for a token. A page of results has about 60 thumbnails, which count a tenth each."""


def serve(
    *,
    gallery: GalleryPlace,
    model: Path | None = None,
    detector: DetectorFile = None,
    person_class: PersonClass = None,
    host: str = "127.0.0.1",
    port: int = 8008,
    require_token: Flag = False,
    token_file: Path | None = None,
    audit_log: Path | None = None,
    new_token: Literal["read", "write"] | None = None,
    token_name: str | None = None,
    revoke_token: str | None = None,
    list_tokens: Flag = False,
    requests_per_minute: int | None = None,
    max_upload_mb: float = 32.0,
    max_megapixels: float = 25.0,
    timezone: Timezone = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    device: Device = "auto",
    runtime: RuntimeName = "auto",
    json: Flag = False,
) -> None:
    """Serve a gallery: a page to search it for persons, and a JSON API.

    On loopback addresses no token is needed. On other addresses every request needs a token: create tokens
    first.

    Args:
        model: a run, a model folder, or a weights, ONNX or OpenVINO file; by default the gallery's own.
        host: address to listen on; 0.0.0.0 for all addresses of this machine.
        port: port to listen on; 0 for a free one.
        require_token: require tokens on loopback too, for example behind a proxy.
        token_file: file with the hashes of the tokens; by default in the gallery's folder.
        audit_log: file for the log of searches, marks and deletions; by default in the gallery's folder.
        new_token: create a token for reading or for writing, print it, and exit.
        token_name: name of the new token, for the audit log.
        revoke_token: revoke the token with this name, also in a running service, and exit.
        list_tokens: print the names of the tokens, and exit.
        requests_per_minute: limit for each client; by default 600 with tokens, otherwise none.
        max_upload_mb: largest size of a request.
        max_megapixels: largest size of a picture.
        tls_certificate: PEM file of the certificate, for HTTPS.
        tls_key: PEM file of its private key.
        json: print tokens as one JSON value.
    """
    # Requests already run in parallel, and idle threads of OpenBLAS would take CPU time from the network.
    # OpenBLAS reads this when NumPy is imported, below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from resight.service.tokens import Tokens

    tokens = Tokens(token_file or _service_folder(gallery) / "tokens.json")
    if new_token is not None or revoke_token is not None or list_tokens:
        _change_tokens(tokens, new_token, token_name, revoke_token, json)
        return
    if token_name is not None:
        raise UserError(
            "--token-name is the name of a new token: give --new-token read or --new-token write, too."
        )
    start = time.monotonic()
    outside = not _is_loopback(host)
    guarded = outside or require_token
    if guarded and not tokens.all():
        raise UserError(
            f"On {host} every request needs a token, and there are none. Create one: resight serve --gallery "
            f"{gallery} --new-token read --token-name anna"
            if outside
            else f"There are no tokens. Create one: resight serve --gallery {gallery} --new-token read"
        )
    if (tls_certificate is None) != (tls_key is None):
        raise UserError("HTTPS needs both --tls-certificate and --tls-key.")
    if tls_certificate is not None:
        _check_tls(tls_certificate, tls_key)
    if requests_per_minute is not None and requests_per_minute < 1:
        raise UserError(f"--requests-per-minute must be at least 1; got {requests_per_minute}.")
    if not (max_upload_mb > 0 and max_megapixels > 0):
        raise UserError("--max-upload-mb and --max-megapixels must be more than 0.")
    zone = find_zone(timezone)
    listener = _bind(host, port)
    say(f"Opening {gallery} and loading {'its model' if model is None else model}.")  # takes seconds

    import torch
    import uvicorn

    from resight.service.app import create_app
    from resight.service.audit import Audit
    from resight.service.batching import Batcher
    from resight.service.core import Service
    from resight.service.framing import Connection
    from resight.service.guard import LOOPBACK
    from resight.service.limits import Limits
    from resight.service.metrics import Metrics
    from resight.service.uploads import UploadReader

    limits = Limits(
        upload_bytes=round(max_upload_mb * 2**20),
        pixels=round(max_megapixels * 1e6),
        requests_per_minute=REQUESTS_PER_MINUTE
        if guarded and requests_per_minute is None
        else requests_per_minute,
    )
    audit = Audit(audit_log or _service_folder(gallery) / "audit.jsonl")
    if audit.broken is not None:
        say(f"Warning: the audit log {audit.path} was changed before line {audit.broken}.")
    metrics = Metrics()
    reader = UploadReader(limits, load_detector(detector, person_class))

    from resight.gallery.embedding import as_embedder
    from resight.gallery.gallery import Gallery
    from resight.inference.loading import load_model
    from resight.models.network import Network

    # Leave one core to other threads: if one thread of the network has to wait for a core, all wait for it.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), available_cores() - 1)))
    # the service deletes expired crops itself, and logs it
    with Gallery.open(gallery, device=device, runtime=runtime, expire=False) as opened:
        loaded = (
            opened.load_own_model() if model is None else load_model(model, device=device, runtime=runtime)
        )
        embedder = as_embedder(loaded, opened.metadata.model.precision)
        opened.use(embedder)
        say(f"Embedding with {opened.prepare()}.")
        batcher = Batcher(embedder, lambda count, jobs: metrics.batches.observe(count))
        opened.use(batcher)
        service = Service(
            opened,
            reader=reader,
            audit=audit,
            metrics=metrics,
            limits=limits,
            zone=zone,
            network=loaded.network if isinstance(loaded.network, Network) else None,
        )
        app = create_app(service, tokens=tokens if guarded else None, hosts=(*LOOPBACK, host))
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            ws="none",
            http=Connection,
            proxy_headers=guarded,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=75,  # longer than the usual minute of proxies
            ssl_certfile=tls_certificate,
            ssl_keyfile=tls_key,
        )
        address = f"http{'' if tls_key is None else 's'}://{_shown(host)}:{listener.getsockname()[1]}/"
        _print_start(opened, address, time.monotonic() - start, audit.path, plain=outside and tls_key is None)
        with suppress(KeyboardInterrupt), resumable(""):  # the usual end, also by SIGTERM
            uvicorn.Server(config).run(sockets=[listener])
    batcher.close()
    audit.close()


def _check_tls(certificate: Path, key: Path | None) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # SSLError, too
        raise UserError(
            f"HTTPS cannot use the certificate {certificate} with the key {key}: {error.strerror}. "
            "Give a certificate and its private key, both in PEM format."
        ) from error


def _print_start(gallery: "Gallery", address: str, seconds: float, log: Path, *, plain: bool) -> None:
    if plain:
        say(
            "Warning: without --tls-certificate and --tls-key, tokens and pictures are sent unencrypted. "
            "Give both, or use a proxy with TLS."
        )
    if gallery.metadata.calibration is None:
        say(
            "Note: the gallery is not calibrated, so likely matches are not marked. Run: resight gallery "
            f"calibrate --gallery {gallery.place}"
        )
    say(f"{len(gallery):,} crops, ready after {seconds:.1f} s. The audit log is {log}.")
    say(f"Open {address} (Ctrl-C stops it)")


def _change_tokens(
    tokens: "Tokens", role: str | None, name: str | None, revoked: str | None, json: bool
) -> None:
    if revoked is not None:
        tokens.revoke(revoked)
        say(f"Revoked the token '{revoked}'.")
    made: str | None = None
    if role is not None:
        name = name or _free_name(role, {token.name for token in tokens.all()})
        made = tokens.add(name, role)
        say(f"The new token '{name}' ({role}). It is shown only once; its hash is in {tokens.path}.")
    known = [{"name": token.name, "role": token.role, "created": token.created} for token in tokens.all()]
    if json:
        print_json({"token": made, "name": name, "role": role} if made else {"tokens": known})
    elif made:
        print(made)
    elif revoked is None:
        print_table(["Name", "Role", "Created"], [list(one.values()) for one in known])


def _free_name(role: str, taken: set[str]) -> str:
    numbered = (f"{role}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _service_folder(gallery: str) -> Path:
    """Return the folder of the tokens and the audit log.

    Raises:
        UserError: there is no such gallery.
    """
    from resight.gallery.stores.opening import companion_folder, gallery_exists, is_address

    folder = companion_folder(gallery)
    if not is_address(gallery) and not gallery_exists(gallery):
        raise UserError(
            f"There is no gallery in {folder}. Create one: resight gallery add CROPS "
            f"--gallery {folder}; or resight ingest"
        )
    return folder / "service"


def _bind(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be 0 to 65535; got {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio disables Nagle's algorithm only if the protocol's number is given
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # queues requests while the model loads; lets a second service fail at once
    except OSError as error:
        raise UserError(
            f"The service cannot listen on {host}:{port}: {error.strerror}. Choose another --port or --host."
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
