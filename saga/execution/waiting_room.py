"""Messages that cannot be carried out yet: a signal before its saga, or anything without Postgres.

They wait in a list of the broker's, where they hold no slot of a worker. Each worker looks at some
of them every second, and asks Postgres once for all.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# kombu has no types.

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from kombu.utils.json import dumps

from saga.execution.refusals import fault_of, refused, thrown_away
from saga.storage import starts
from saga.storage.callers import executor
from saga.storage.connect import connect
from saga.storage.starts import Wanted
from saga.wakeups.broker import Broker
from saga.wakeups.message import envelope

log = logging.getLogger("saga.inbox")

ROOM = "saga.waiting"
_PATIENCE = 30.0  # seconds that a signal waits for the start of its saga, which may be behind it
_MOST = 10_000  # messages that wait; what comes then is refused at once
_AT_ONCE = 500
_SINCE, _FOR = "saga_since", "saga_for"


@dataclass(frozen=True, slots=True)
class _Waiting:
    queue: str
    headers: Mapping[str, Any]
    saga: Wanted | None  # None: it waits for Postgres
    since: float


class WaitingRoom:
    """`enter` is for the threads and processes that carry out messages, `let_out` for one thread
    of each worker.
    """

    def __init__(self, broker: Broker, database_url: str) -> None:
        self._broker = broker
        self._url = database_url
        self._connection: psycopg.Connection | None = None

    def enter(
        self,
        request: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wants: Wanted | None = None,
    ) -> bool:
        """Whether the message waits now: not if it has waited for its saga long enough, or too many
        do. Raises Unavailable.
        """
        since = _number(header(request, _SINCE)) or time.time()
        if wants and (time.time() - since >= _PATIENCE or self._broker.length(ROOM) >= _MOST):
            return False
        queue = str((request.delivery_info or {}).get("routing_key"))
        headers = {
            "lang": "py",
            "task": request.task,
            "id": request.id,
            "root_id": request.id,
            "argsrepr": "",
            "kwargsrepr": "",
            "origin": request.origin,
            "retries": request.retries + 1,
            "traceparent": header(request, "traceparent"),
            _SINCE: since,
            _FOR: wants,
        }
        self._broker.put(ROOM, [envelope(queue, headers, dumps([args, kwargs, {}]))])
        return True

    def let_out(self) -> None:
        """Sends those back to their queues that may be carried out now, and refuses those that have
        waited long enough. They leave the room in the moment in which they are elsewhere, so that
        none is lost, whatever happens in here. Raises Unavailable.
        """
        found = {raw: _read(raw) for raw in self._broker.oldest(ROOM, _AT_ONCE)}
        if not found:
            return
        try:
            there = self._there(list(filter(None, map(_saga_of, found.values()))))
        except psycopg.Error as error:
            log.warning("messages go on waiting: %s", type(error).__name__)
            self._disconnect()
            return
        to = {raw: _place_of(one, there) for raw, one in found.items()}
        for raw in self._broker.move(ROOM, to):
            if to[raw] is None:
                _tell(found[raw])

    def _there(self, wanted: list[Wanted]) -> set[Wanted]:
        self._connection = self._connection or connect(self._url, "saga inbox")
        return starts.there(executor(self._connection), wanted)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self._disconnect()
        self._broker.close()


def header(request: Any, name: str) -> Any:
    """Of a message, wherever Celery has put it."""
    return (request.headers or {}).get(name) or getattr(request, name, None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _read(raw: bytes) -> _Waiting | Exception | str:
    """What stands in the room may be anybody's: what is wrong with it, if it is no message."""
    try:
        message = json.loads(raw)
        if why := fault_of(message):
            return why
        headers = message["headers"]
        queue = str(message["properties"]["delivery_info"]["routing_key"])
        saga = headers.get(_FOR)
        return _Waiting(queue, headers, saga and _wanted(*saga), float(headers[_SINCE]))
    except (TypeError, ValueError, LookupError, RecursionError) as error:
        return error


def _saga_of(one: _Waiting | Exception | str) -> Wanted | None:
    return one.saga if isinstance(one, _Waiting) else None


def _place_of(one: _Waiting | Exception | str, there: set[Wanted]) -> str | None:
    """The queue that it belongs into now; None: it is refused."""
    if not isinstance(one, _Waiting):
        return None
    if one.saga is None or one.saga in there:
        return one.queue
    return ROOM if time.time() - one.since < _PATIENCE else None


def _tell(one: _Waiting | Exception | str) -> None:
    if isinstance(one, _Waiting):
        refused(one.headers, "there is no such saga")
    else:
        thrown_away(ROOM, one)


def _wanted(identity: str | None, name: str | None, key: str | None) -> Wanted:
    """Raises ValueError or TypeError for what Postgres would not take."""
    if b"\0" in "".join(one for one in (name, key) if one is not None).encode():
        raise ValueError
    return (None if identity is None else str(UUID(identity)), name, key)
