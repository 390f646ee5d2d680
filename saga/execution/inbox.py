"""Starts and signals that come as Celery messages, from apps that have none of our code.

Celery has acknowledged such a message by the time it is here, so what cannot be stored now goes
back to the queue first of all, under the same id. The id is also the key of a start, and the dedup
id of a signal, that has none: a message that arrives twice counts once.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from celery import Celery
from celery.worker.request import Request
from kombu.exceptions import KombuError

from saga.client.client import Client
from saga.client.requests import StartRequest
from saga.core.codec import encode
from saga.core.declare.registry import registry
from saga.errors import (
    InvalidInput,
    SagaError,
    SagaNotFound,
    SchemaOutdated,
    Unavailable,
    UnknownSaga,
)

START, SIGNAL = "saga.start", "saga.signal"

log = logging.getLogger("saga.inbox")

_PAUSE = 0.5  # seconds for which a slot rests after it put a message back
_WAITING_FOR = 30.0  # seconds that a signal waits for the start of its saga, which may be behind it
_ACTOR = "celery"  # in the audit trail: nobody vouches for the sender that a message names
_SINCE = "saga_since"
_TRACE = "traceparent"


class HidingRequest(Request):
    """A received message whose arguments Flower and the logs do not see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._argsrepr = self._kwargsrepr = "(not shown)"
        self._request_dict |= {"argsrepr": self._argsrepr, "kwargsrepr": self._kwargsrepr}


class Inbox:
    """The two tasks, for one app."""

    def __init__(self, app: Celery, client: Client) -> None:
        self._app = app
        self._client = client

    def register(self) -> None:
        """Adds the tasks to the app."""
        for name, work in ((START, self.start), (SIGNAL, self.signal)):
            if name not in self._app.tasks:
                self._app.task(
                    self._task(work),
                    name=name,
                    bind=True,
                    typing=False,
                    acks_late=False,
                    shared=False,
                    throws=(SagaError,),
                    Request=HidingRequest,
                )

    def _task(self, work: Callable[..., Any]) -> Any:
        def receive(task: Any, *args: Any, **kwargs: Any) -> Any:
            request = task.request
            try:
                return work(request, args, kwargs)
            except (Unavailable, SchemaOutdated) as error:
                return self._put_back(request, args, kwargs, error)
            except SagaNotFound as error:
                if time.time() - _since(request) < _WAITING_FOR:
                    return self._put_back(request, args, kwargs, error)
                refused(request, error)
                raise
            except SagaError as error:
                refused(request, error)
                raise

        return receive

    def start(self, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Starts the saga that a message asks for; its id."""
        given = _read(_start_arguments, START, args, kwargs)
        name, version = given["name"], given["version"]
        values: dict[str, Any] = given["input"] or {}
        _check_with_code(name, version, values)
        wanted = StartRequest(
            name,
            values,
            given["key"] or f"celery:{request.id}",
            version,
            given["attributes"],
            given["callback"],
            _text(_header(request, _TRACE)),
        )
        return str(self._client.start_many([wanted])[0].id)

    def signal(self, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Sends the signal that a message holds; whether it is new."""
        given = _read(_signal_arguments, SIGNAL, args, kwargs)
        if given["id"] is None and (given["saga"] is None or given["key"] is None):
            raise InvalidInput(f"{SIGNAL}: want id=, or saga= and key= of its start")
        saga_id = given["id"] or self._client.find(given["saga"], given["key"]).id
        dedup_id = given["dedup_id"] or f"celery:{request.id}"
        return self._client.signal(
            saga_id,
            given["name"],
            given["payload"],
            dedup_id=dedup_id,
            sender=given["sender"],
            by=_ACTOR,
        )

    def _put_back(
        self, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any], error: SagaError
    ) -> None:
        """To the queue it came from; then rests, so that an outage does not spin."""
        log.warning("message %s (%s) goes back to its queue: %s", request.id, request.task, error)
        info: Mapping[str, Any] = request.delivery_info or {}
        while True:
            try:
                self._app.send_task(
                    request.task,
                    args,
                    kwargs,
                    task_id=request.id,
                    queue=info.get("routing_key"),
                    retries=request.retries + 1,
                    headers={_SINCE: _since(request), _TRACE: _header(request, _TRACE)},
                    argsrepr="",
                    kwargsrepr="",
                )
            except (KombuError, OSError) as away:
                log.warning("the broker takes no message: %s", type(away).__name__)
                time.sleep(_PAUSE)
            else:
                time.sleep(_PAUSE)
                return


def refused(request: Any, error: SagaError) -> None:
    """Says what was wrong with a message, without its content."""
    log.error(
        "message %s (%s, from %s) is refused: %s",
        request.id,
        request.task,
        request.origin or "an unknown app",
        error,
    )


def _since(request: Any) -> float:
    """When the message was first put back, by the clocks of workers; now, if it never was."""
    found = _header(request, _SINCE)
    return float(found) if isinstance(found, int | float) else time.time()


def _header(request: Any, name: str) -> Any:
    return (request.headers or {}).get(name) or getattr(request, name, None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _check_with_code(name: str, version: int | None, given: Mapping[str, Any]) -> None:
    """Where the saga's code is at hand, its types are checked before anything is stored."""
    try:
        definition = registry.saga(name, version)
    except UnknownSaga:
        return
    definition.check_input(encode(given, f"{START}: input"))


def _start_arguments(
    name: str,
    input: dict[str, Any] | None = None,  # noqa: A002 - it is what callers write
    key: str | None = None,
    version: int | None = None,
    attributes: dict[str, Any] | None = None,
    callback: str | None = None,
) -> dict[str, Any]:
    return locals()


def _signal_arguments(
    name: str,
    payload: Any = None,
    *,
    id: str | None = None,  # noqa: A002 - it is what callers write
    saga: str | None = None,
    key: str | None = None,
    dedup_id: str | None = None,
    sender: str | None = None,
) -> dict[str, Any]:
    return locals()


_TYPES: dict[str, tuple[type, str]] = {
    "input": (dict, "an object"),
    "attributes": (dict, "an object"),
    "version": (int, "a whole number"),
}


def _read(
    arguments: Callable[..., dict[str, Any]],
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments by name; raises InvalidInput that names what is wrong."""
    try:
        inspect.signature(arguments).bind(*args, **kwargs)
    except TypeError as error:
        wanted = ", ".join(inspect.signature(arguments).parameters)
        raise InvalidInput(f"{task}: {error}; it takes {wanted}") from None
    given = arguments(*args, **kwargs)
    for name, value in given.items():
        wanted, shown = _TYPES.get(name, (str, "text"))
        if value is not None and name != "payload" and not isinstance(value, wanted):
            kind: type = type(cast("object", value))
            raise InvalidInput(f"{task}: {name}: want {shown}, not {kind.__name__}")
    return given
