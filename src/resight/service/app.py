"""The ASGI application: routes, error responses and the guard."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from resight import __version__
from resight.errors import UserError
from resight.progress import say
from resight.service.api import api_routes
from resight.service.core import Service
from resight.service.guard import LOOPBACK, Guard
from resight.service.limits import Refusal
from resight.service.page import page_routes
from resight.service.tokens import Tokens

RETENTION_SECONDS = 600.0
"""Seconds between two runs of deleting expired crops and compacting."""

NO_ROUTE = {
    404: "There is nothing at this address. See /docs.",
    405: "This address does not support that method. See /docs.",
}
"""Messages instead of 'Not Found' and 'Method Not Allowed'."""


def create_app(service: Service, *, tokens: Tokens | None = None, hosts: Sequence[str] = LOOPBACK) -> Guard:
    """Return the service as an ASGI application.

    Args:
        service: implements the actions.
        tokens: of the users; None admits all clients.
        hosts: host names allowed in requests if there are no tokens.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        upkeep = asyncio.create_task(_keep_up(service))
        yield
        upkeep.cancel()
        with suppress(asyncio.CancelledError):
            await upkeep

    app = FastAPI(
        title="Resight",
        version=__version__,
        description="A gallery of person crops: add, search, label, delete.",
        lifespan=running,
        docs_url=None,  # the default pages load scripts from the internet
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    guard = Guard(app, limits=service.limits, tokens=tokens, hosts=hosts, metrics=service.metrics)
    app.include_router(api_routes(service))
    app.include_router(page_routes(service, app, guard))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        sentence = (
            error.detail if isinstance(error, Refusal) else NO_ROUTE.get(error.status_code, error.detail)
        )
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": " ".join(_sentence(one) for one in error.errors()[:5])}, 422)

    return guard


async def _keep_up(service: Service) -> None:
    """Periodically forget expired crops, and remove their traces."""
    while True:
        try:
            await run_in_threadpool(service.forget_expired)
            await run_in_threadpool(service.compact)
        except (UserError, Refusal) as error:
            say(f"Warning: {error.detail if isinstance(error, Refusal) else error}")
        await asyncio.sleep(RETENTION_SECONDS)


def _sentence(error: dict[str, object]) -> str:
    """Return pydantic's message about a field as a sentence, without the value, which may be a picture."""
    where = error["loc"]
    assert isinstance(where, tuple)
    field = ".".join(str(part) for part in where[1:]) or "The request"
    return f"{field}: {str(error['msg']).rstrip('.')}."
