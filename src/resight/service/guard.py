"""Checks before the application: authentication, origin, rate and size of requests; security headers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resight.errors import UserError
from resight.service.limits import Limits, RateLimit, Refusal
from resight.service.metrics import Metrics
from resight.service.tokens import Role, Token, Tokens

COOKIE = "resight_session"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = ("/health", "/login", "/static/")
"""Paths that need no token, because they reveal nothing about the gallery."""

SAFE = ("GET", "HEAD", "OPTIONS")

THUMBNAIL_COST = 0.1
"""Cost of a thumbnail in the rate limit, relative to a request: a page of results has dozens."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # without a referrer, forms are sent from the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        name: of the token, or ``local`` if none is needed.
        role: read or write.
        address: of the client.
    """

    name: str
    role: Role
    address: str

    def as_dict(self) -> dict[str, str]:
        """Return the entries for the audit log."""
        return {"who": self.name, "role": self.role, "address": self.address}


class Guard:
    """Passes a request to the application, or refuses it.

    Args:
        app: the application.
        limits: of a request.
        tokens: valid tokens; None gives everybody the role ``write``, as on loopback.
        hosts: host names allowed in requests if there are no tokens, against pages of other sites whose name
            resolves to this machine (DNS rebinding).
        metrics: counts requests.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        tokens: Tokens | None,
        hosts: Sequence[str] = LOOPBACK,
        metrics: Metrics,
    ) -> None:
        self.app, self.limits, self.tokens, self.metrics = app, limits, tokens, metrics
        self.hosts = tuple(dict.fromkeys(hosts))  # --host may be one of the machine's own names
        self._rate = None if limits.requests_per_minute is None else RateLimit(limits.requests_per_minute)
        self.wrong = RateLimit(limits.failed_logins_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        start, status = time.perf_counter(), 500

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                defaults = {**HEADERS, "cache-control": "no-store"}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in defaults.items() if n.encode() not in given),
                ]
            await send(message)

        request = Request(scope)
        try:
            scope.setdefault("state", {})["caller"] = self._admit(request)
        except Refusal as refusal:
            await _response(request, refusal)(scope, receive, secured)
        except UserError as error:  # the token file cannot be read: nobody is admitted
            await _response(request, Refusal(503, str(error)))(scope, receive, secured)
        else:
            await self.app(scope, _bounded(receive, self.limits), secured)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, _method(request), str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def token_of(self, request: Request, token: str) -> Token:
        """Return the entry of a token.

        Raises:
            Refusal: it is not valid, or the address has sent too many invalid ones.
        """
        assert self.tokens is not None
        found = self.tokens.find(token)
        if found is not None:
            return found
        if wait := self.wrong.take(_address(request)):
            raise Refusal(
                429,
                f"Too many invalid tokens. Try again in {wait:.0f} seconds.",
                {"retry-after": f"{wait:.0f}"},
            )
        raise Refusal(
            401,
            "This token is not valid. Ask the operator of the service for one "
            "(resight serve --gallery GALLERY --new-token read).",
            {"www-authenticate": "Bearer"},
        )

    def _admit(self, request: Request) -> Caller:
        self._refuse_foreign(request)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self.limits.upload_bytes:
            raise Refusal(
                413,
                f"{_too_long(self.limits)} Crop the picture to the person, or shrink it.",
                {"connection": "close"},
            )
        caller = self._caller(request)
        if self._rate is not None and not request.url.path.startswith("/static/"):
            key = caller.name if caller.name else caller.address
            cost = THUMBNAIL_COST if request.url.path.endswith("/thumbnail") else 1.0
            if wait := self._rate.take(key, cost):
                raise Refusal(
                    429,
                    f"More than {self.limits.requests_per_minute} requests in a minute. Try again in "
                    f"{wait:.0f} seconds.",
                    {"retry-after": f"{wait:.0f}"},
                )
        return caller

    def _caller(self, request: Request) -> Caller:
        address = _address(request)
        if self.tokens is None:
            return Caller("local", "write", address)
        if request.url.path.startswith(OPEN):
            return Caller("", "read", address)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self.token_of(request, given.strip())
        else:
            session = self.tokens.of_session(request.cookies.get(COOKIE, ""))
            if session is None:
                raise Refusal(
                    401,
                    "A token is needed: the header 'Authorization: Bearer TOKEN', or log in on the page.",
                    {"www-authenticate": "Bearer"},
                )
            token = session
        return Caller(token.name, token.role, address)

    def _refuse_foreign(self, request: Request) -> None:
        """Refuse requests from other sites' pages, and requests through a proxy if there are no tokens."""
        host = request.headers.get("host", "")
        if self.tokens is None:
            if _hostname(host) not in self.hosts:
                raise Refusal(
                    421,
                    "Without tokens, requests may only use the host names "
                    f"{', '.join(self.hosts)}. Create tokens: resight serve --gallery GALLERY "
                    "--new-token read",
                )
            if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
                raise Refusal(
                    403,
                    "This request came through a proxy, but the service requires no tokens. Start it with "
                    "--require-token.",
                )
        if request.method in SAFE:
            return
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if (origin is not None and origin.partition("://")[2] != host) or site in ("cross-site", "same-site"):
            raise Refusal(403, "This request came from another site's page, so it was refused.")


def _bounded(receive: Receive, limits: Limits) -> Receive:
    """Return a ``receive`` that refuses a body that is too large or too slow."""
    taken, whole = 0, False
    until = time.monotonic() + limits.body_seconds

    async def bounded() -> Message:
        nonlocal taken, whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise Refusal(408, f"The request took more than {limits.body_seconds:.0f} seconds.") from None
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > limits.upload_bytes:
            raise Refusal(413, _too_long(limits))
        return message

    return bounded


def _response(request: Request, refusal: Refusal) -> Response:
    if (
        refusal.status_code == 401
        and request.method == "GET"
        and "text/html" in request.headers.get("accept", "")
    ):
        return RedirectResponse("/login", 303)
    return JSONResponse({"error": refusal.detail}, refusal.status_code, refusal.headers)


def _too_long(limits: Limits) -> str:
    return f"A request may have {limits.upload_bytes / 2**20:,.0f} MB at most."


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


def _hostname(netloc: str) -> str | None:
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def _method(request: Request) -> str:
    """Return the method, or "other" for unknown ones, which would be unlimited labels of metrics."""
    return request.method if request.method in (*SAFE, "POST", "PUT", "PATCH", "DELETE") else "other"
