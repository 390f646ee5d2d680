"""Errors as RFC 9457 has them: `application/problem+json`, with the fields that are wrong."""

import logging
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from saga.errors import (
    Conflict,
    InvalidInput,
    KeyConflict,
    SagaEnded,
    SagaError,
    SagaNotFound,
    SchemaOutdated,
    Unavailable,
    UnknownSaga,
)

log = logging.getLogger("saga.api")

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where: `input.amount`, `query.limit`, `header.authorization`.")
    message: str


class Problem(BaseModel):
    """Why a request was not carried out."""

    type: str = Field(description="`urn:saga:problem:` and a word that programs can rely on.")
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list[FieldError])


_TITLES = {
    "malformed": "The body is not JSON that can be stored",
    "unauthorized": "A valid bearer token is needed",
    "forbidden": "This token's role does not allow it",
    "not-found": "There is no such thing",
    "method-not-allowed": "This resource knows no such method",
    "too-slow": "The body did not come in time",
    "conflict": "Somebody or something else came first",
    "key-conflict": "This key was used with another input",
    "ended": "The saga takes no more of this",
    "too-large": "The body is too large",
    "unsupported-media-type": "Bodies are JSON",
    "invalid": "Something in the request is not as it has to be",
    "unknown-saga": "No worker has announced this saga",
    "too-many-requests": "Too many requests",
    "internal": "Something went wrong here",
    "unavailable": "The service cannot answer now",
}
_OF_STATUS = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    409: "conflict",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid",
    429: "too-many-requests",
    503: "unavailable",
}
_PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
# The first that fits.
_OF_ERROR: tuple[tuple[type[SagaError], int, str], ...] = (
    (UnknownSaga, 422, "unknown-saga"),
    (SagaNotFound, 404, "not-found"),
    (KeyConflict, 409, "key-conflict"),
    (SagaEnded, 409, "ended"),
    (Conflict, 409, "conflict"),
    (InvalidInput, 422, "invalid"),
    (SchemaOutdated, 503, "unavailable"),
)


class Refusal(Exception):
    """A request that is refused before it comes to a saga."""

    def __init__(
        self,
        status: int,
        detail: str,
        field: str = "",
        errors: Iterable[FieldError] = (),
        **headers: str,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = [FieldError(field=field, message=detail)] if field else list(errors)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(
    status: int,
    detail: str,
    errors: Iterable[FieldError] = (),
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that says what is wrong."""
    word = kind or _OF_STATUS.get(status, "invalid" if status < 500 else "internal")
    found = Problem(
        type=f"urn:saga:problem:{word}",
        title=_TITLES[word],
        status=status,
        detail=detail,
        errors=list(errors),
    )
    more = {"Retry-After": "1"} if status == 503 else {}
    return JSONResponse(
        found.model_dump(), status, headers={**more, **(headers or {})}, media_type=MEDIA_TYPE
    )


def add_handlers(app: FastAPI) -> None:
    """Every exception becomes a problem."""
    handlers: dict[Any, Any] = {
        Refusal: _of_known,
        SagaError: _of_known,
        RequestValidationError: _of_validation,
        HTTPException: _of_http,
        psycopg.DataError: _of_data,
        DBAPIError: _of_database,
        Exception: _of_anything,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


def of_error(error: Refusal | SagaError) -> Response:
    """The answer that says what is wrong, before a request comes to the app's own handlers."""
    if isinstance(error, Refusal):
        return problem(error.status, error.detail, error.errors, headers=error.headers)
    return _of_saga_error(error)


async def _of_known(_: Request, error: Any) -> Response:
    return of_error(error)


def _of_saga_error(error: SagaError) -> Response:
    if isinstance(error, Unavailable):  # its text may name the server, which is not for callers
        log.warning("%s", error)
        if isinstance(error.__cause__, _PASSING):
            return problem(503, str(error))
        return problem(503, "Postgres does not answer, or all connections are in use: try again")
    if isinstance(error, InvalidInput) and (status := status_of_limit(str(error))):
        return problem(status, str(error), _fields(error))
    for kind, status, word in _OF_ERROR:
        if isinstance(error, kind):
            return problem(status, str(error), _fields(error), kind=word)
    log.error("unexpected %s: %s", type(error).__name__, error)
    return problem(500, type(error).__name__)


@contextmanager
def naming(label: str, field: str) -> Generator[None]:
    """Errors that begin with a label of the client's name the field of the request instead."""
    try:
        yield
    except InvalidInput as error:
        text = str(error)
        if not text.startswith(f"{label}: "):
            raise
        raise InvalidInput(f"{field}: {text.removeprefix(f'{label}: ')}") from None


def status_of_limit(text: str) -> int | None:
    """If that is what is wrong: JSON that is too large or too deep."""
    if "bytes of JSON, at most" in text:
        return 413
    return 400 if "levels deep, at most" in text else None


def _fields(error: SagaError) -> list[FieldError]:
    """An InvalidInput's text begins with the field."""
    if isinstance(error, UnknownSaga):
        return [FieldError(field="name", message=str(error))]
    field, colon, message = str(error).partition(": ")
    if not isinstance(error, InvalidInput) or not colon:
        return []
    return [FieldError(field=field, message=message)]


async def _of_validation(_: Request, error: RequestValidationError) -> Response:
    """What pydantic found; never the value itself."""
    errors = [
        FieldError(field=_place(found["loc"]), message=str(found["msg"]))
        for found in error.errors()[:20]
    ]
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors[:3])
    return problem(422, detail, errors)


def _place(location: tuple[Any, ...]) -> str:
    parts = [str(part)[:80] for part in location]
    return ".".join(parts[1:] if parts[:1] == ["body"] and len(parts) > 1 else parts)


async def _of_http(_: Request, error: HTTPException) -> Response:
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _of_data(_: Request, error: Exception) -> Response:
    """The last line of defence: the database refused a value that all checks had let pass."""
    log.warning("the database refused a value: %s", getattr(error, "sqlstate", None))
    return problem(422, "the database refuses one of the values")


async def _of_database(request: Request, error: DBAPIError) -> Response:
    if isinstance(error.orig, psycopg.DataError):
        return await _of_data(request, error.orig)
    return await _of_anything(request, error)


async def _of_anything(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.scope.get("path"), exc_info=error)
    return problem(500, f"an unexpected {type(error).__name__}; the server's log has more")
