"""The app: its parts put together, and its OpenAPI document."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from saga.operations.api import (
    actions,
    approvals,
    audit,
    bulk,
    callbacks,
    compensations,
    effects,
    events,
    front,
    health,
    history,
    metrics,
    overview,
    sagas,
    signals,
    steps,
)
from saga.operations.api.edge import Edge
from saga.operations.api.health import Probes
from saga.operations.api.problems import MEDIA_TYPE, Problem, add_handlers
from saga.operations.api.services import Services
from saga.operations.api.settings import ApiSettings

_DESCRIPTION = """
Start sagas, talk to them, watch them and operate them. `/v1` and `/metrics` need a bearer token
from `saga token create`. Parameters that are not known are refused. Errors are
`application/problem+json` and name the field.
"""
_PROBLEMS = {
    400: "The body is not JSON, or holds what cannot be stored",
    401: "No valid token",
    403: "The token's role does not allow it",
    404: "There is no such thing",
    408: "The body did not come in time",
    409: "Somebody or something else came first",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "A value is not as it has to be; `errors` names the field",
    429: "Too many requests; see Retry-After",
    503: "Postgres is away, or did not answer in time; see Retry-After",
}


def create_app(settings: ApiSettings) -> FastAPI:
    """An ASGI app. It connects at its first request and closes what it opened at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        shared = Services(settings)
        app.state.services = shared
        app.state.probes = Probes(shared)
        yield
        await shared.watcher.close()
        app.state.probes.close()
        shared.close()

    app = FastAPI(
        title="saga-orchestrator",
        description=_DESCRIPTION,
        version=version("saga-orchestrator"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"description": text} for status, text in _PROBLEMS.items()},
    )
    for module in (
        sagas,
        history,
        events,
        signals,
        approvals,
        actions,
        compensations,
        bulk,
        steps,
        callbacks,
        effects,
        overview,
        metrics,
        audit,
        health,
        front,
    ):
        app.include_router(module.router)
    add_handlers(app)
    app.add_middleware(Edge, settings=settings)
    setattr(app, "openapi", lambda: _openapi(app))  # noqa: B010 - the way FastAPI wants it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, in which every error is a problem."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document["components"]["schemas"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(made.pop("$defs", {}))
        schemas["Problem"] = made
        for path, item in document["paths"].items():
            for operation in item.values():
                _describe(operation, path)
        app.openapi_schema = document
    return app.openapi_schema


def _describe(operation: dict[str, Any], path: str) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, response in operation["responses"].items():
        if status >= "400" and not (path == "/health" and status == "503"):
            response["content"] = content
