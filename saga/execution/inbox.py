"""Starts and signals that come as Celery messages, from apps that have none of our code.

Celery has acknowledged such a message by the time it is here, so what cannot be stored now waits in
the broker (see `waiting_room`), under the same id. The id is also the key of a start, and the dedup
id of a signal, that has none: a message that arrives twice counts once.

What is said of a message that is refused, here and in Flower, holds nothing of what it brought.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import difflib
import inspect
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

from celery import Celery
from celery.worker.request import Request

from saga.client.client import Client
from saga.client.requests import StartRequest
from saga.core.codec import encode
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.registry import registry
from saga.core.tracebacks import place_of
from saga.errors import (
    InvalidInput,
    SagaError,
    SagaNotFound,
    SchemaOutdated,
    Unavailable,
    UnknownSaga,
)
from saga.execution.refusals import refused, shown
from saga.execution.waiting_room import WaitingRoom, header
from saga.storage.starts import Wanted

START, SIGNAL = "saga.start", "saga.signal"

log = logging.getLogger("saga.inbox")

_PAUSE = 0.5  # seconds until the broker is asked again that takes no message
_ACTOR = "celery"  # in the audit trail: nobody vouches for the sender that a message names
_TRACE = "traceparent"


class HidingRequest(Request):
    """A received message whose arguments Flower and the logs do not see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._argsrepr = self._kwargsrepr = "(not shown)"
        self._request_dict |= {"argsrepr": self._argsrepr, "kwargsrepr": self._kwargsrepr}


class Inbox:
    """The two tasks, for one app."""

    def __init__(self, app: Celery, client: Client, room: WaitingRoom) -> None:
        self._app = app
        self._client = client
        self._room = room

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
                why: Exception = error
                if self._waits(request, args, kwargs, error):
                    return None
            except SagaNotFound as error:
                why = error
                if self._waits(request, args, kwargs, error, _wanted(kwargs)):
                    return None
            except Exception as error:  # also what nobody thought of: its traceback would tell all
                why = error
            text = told(why, args, kwargs)
            refused({"id": request.id, "task": request.task, "origin": request.origin}, text)
            raise InvalidInput(text) from None

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
            _text(header(request, _TRACE)),
        )
        return str(self._client.start_many([wanted])[0].id)

    def signal(self, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Sends the signal that a message holds; whether it is new."""
        given = _read(_signal_arguments, SIGNAL, args, kwargs)
        if given["id"] is None and (given["saga"] is None or given["key"] is None):
            raise InvalidInput(f"{SIGNAL}: want id=, or saga= and key= of its start")
        if given["id"] is not None:
            _check_id(given["id"])
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

    def _waits(
        self,
        request: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        error: SagaError,
        wants: Wanted | None = None,
    ) -> bool:
        """Has the message wait, if it may."""
        text = told(error, args, kwargs)
        while True:
            try:
                waits = self._room.enter(request, args, kwargs, wants)
            except Unavailable as away:
                log.warning("%s", away)
                time.sleep(_PAUSE)
            else:
                if waits:
                    said = "message %s (%s) goes back to its queue in a moment: %s"
                    log.warning(said, shown(request.id), request.task, text)
                return waits


def told(error: Exception, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Why a message is refused, without a word of what it brought."""
    if not isinstance(error, SagaError):
        return f"it broke the worker's code: {type(error).__name__} at {place_of(error)}"
    text = str(error)
    for word in sorted(_words([*args, *kwargs.values()]), key=len, reverse=True):
        text = text.replace(repr(word), "'…'")
        if len(word) >= _MANY:
            text = text.replace(word, "…").replace(word[:_CUT], "…")
    return text


_MANY = 4  # characters; a shorter word is in others
_CUT = 40  # characters; errors name no more of a value than 60


@cache
def _schema(saga: SagaDefinition[..., Any]) -> str:
    return json.dumps(saga.parameters.json_schema())


def _words(given: Any) -> set[str]:
    """All text in it but what our own code says anyway."""
    sagas = registry.sagas()
    known = " ".join(map(_schema, sagas))
    names = {saga.name for saga in sagas}
    found: set[str] = set()
    left = [given]
    while left:
        match left.pop():
            case str(word) if word and word not in names:
                found.add(word)
            case dict(fields):
                found |= {str(name) for name in fields if json.dumps(name) not in known}
                left += fields.values()
            case list(items) | tuple(items):
                left += items
            case _:
                pass
    return found


def _wanted(kwargs: Mapping[str, Any]) -> Wanted:
    """Which saga a signal is for; its arguments have been checked."""
    identity = kwargs.get("id")
    if identity is not None:
        return (str(identity), None, None)
    return (None, kwargs.get("saga"), kwargs.get("key"))


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


def _near(name: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name[:_CUT], list(known), n=1)


def _check_id(given: str) -> None:
    try:
        UUID(given)
    except ValueError:
        raise InvalidInput(f"{SIGNAL}: id: not the id of a saga (a UUID)") from None


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
    except TypeError:
        wanted = ", ".join(takes := inspect.signature(arguments).parameters)
        near = [one for name in kwargs if name not in takes for one in _near(name, takes)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        missing = "" if args or "name" in kwargs else ", and name is missing"
        raise InvalidInput(f"{task}: it takes {wanted}{missing}{hint}") from None
    given = arguments(*args, **kwargs)
    for name, value in given.items():
        wanted, shown = _TYPES.get(name, (str, "text"))
        if value is not None and name != "payload" and not isinstance(value, wanted):
            kind: type = type(cast("object", value))
            raise InvalidInput(f"{task}: {name}: want {shown}, not {kind.__name__}")
    return given
