"""Starting sagas, talking to them and looking at them, from any process: no Celery."""

import builtins
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast, overload
from uuid import UUID

from saga.client.connections import Connections
from saga.client.handle import Handle
from saga.client.input_check import Announced
from saga.client.operator import Operator
from saga.client.reading import Reading
from saga.client.requests import (
    StartRequest,
    as_start,
    as_uuid,
    check_options,
    check_position,
    check_words,
)
from saga.core.codec import encode
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.options import START_OPTIONS
from saga.core.saga_filter import SagaFilter
from saga.core.which_approval import Answer, answered_before
from saga.errors import Conflict, InvalidInput, SagaEnded, SagaNotFound
from saga.failpoint import failpoint
from saga.storage import approvals, starts
from saga.storage.callers import executor
from saga.storage.starts import Executor, Signalled, Standing, Start, Started
from saga.storage.urls import libpq_url
from saga.wakeups.message import ADVANCE, Publisher, WakeUp
from saga.wakeups.publisher import publisher_for

if TYPE_CHECKING:
    from saga.client import why_not
    from saga.storage.queries import Count, Cursor, Page, SagaDetail, SagaRow, Transition

P = ParamSpec("P")
R = TypeVar("R")

_APPLY_WITHIN = 2.0  # seconds until the sweeper looks, should our wake-up be lost
_AT_ONCE = 500  # starts in one statement


class Client:
    """Starts sagas, signals them, answers their approvals, looks at them and waits for results.

    `database_url` and `broker_url` default to SAGA_DATABASE_URL and SAGA_BROKER_URL. Without a
    broker the sweeper sends the wake-ups. Safe for threads; after a fork each process opens its
    own connections. Every method raises Unavailable when Postgres is away, and then says nothing
    about whether the call was carried out: repeat it with the same key.
    """

    def __init__(
        self,
        database_url: str | None = None,
        broker_url: str | None = None,
        *,
        key_prefix: str = "",
    ) -> None:
        """`key_prefix`: the `global_keyprefix` of the workers' broker transport, if it has one."""
        url = database_url or os.environ.get("SAGA_DATABASE_URL")
        if not url:
            raise InvalidInput("database_url: give one, or set SAGA_DATABASE_URL")
        url = libpq_url(url)
        self._broker_url = broker_url or os.environ.get("SAGA_BROKER_URL")
        self._key_prefix = key_prefix
        self._connections = self._new_connections(url)
        self._reading = self._new_reading(url)
        self._announced = Announced()
        self._publisher: Publisher | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    # -- starting

    # Python's types cannot say "the saga's own parameters, and these": what is given beside an
    # option is checked when it is called.
    @overload
    def start(
        self, saga: SagaDefinition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        key: str | None,
        version: int | None = None,
        connection: object = None,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        version: int | None,
        connection: object = None,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        connection: object,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        attributes: Mapping[str, Any] | None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        callback: str | None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    def start(
        self,
        saga: str,
        /,
        *,
        key: str | None = None,
        version: int | None = None,
        connection: object = None,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[Any]: ...
    def start(
        self,
        saga: Any,
        /,
        *args: Any,
        key: str | None = None,
        version: int | None = None,
        connection: Any = None,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> Handle[Any]:
        """Starts a saga (or, by name, the newest version that a worker has announced).

        What a worker has announced is also what an input is checked against that comes by name. The
        same `key` with the same input returns the saga that it started the first time; with another
        input it raises KeyConflict. With `connection` (psycopg's, or SQLAlchemy's Connection or
        Session) the start is part of the caller's transaction: it happens if that commits, and
        never otherwise. `callback` is a URL that is told of the end, see docs/enqueue.md. Raises
        UnknownSaga, InvalidInput, Unavailable. A crash in the middle leaves a started saga or none.
        """
        if isinstance(saga, SagaDefinition):
            saga = cast("SagaDefinition[..., Any]", saga)
            options = (key, version, connection, attributes, callback)
            check_options(saga, args, dict(zip(START_OPTIONS, options, strict=True)))
        request = as_start(saga, args, kwargs, key, version, attributes, callback)
        if connection is not None:
            started = self._accept(self._executor(connection), [request], None)
            return Handle(self, started[0].id, is_new=started[0].is_new)
        return self._start([request], None)[0]

    def start_many(
        self, requests: Iterable[StartRequest[R]], *, by: str | None = None
    ) -> builtins.list[Handle[R]]:
        """Starts many in one transaction: all or none. `by` stands in the audit trail."""
        wanted = [
            as_start(r.saga, (), r.input, r.key, r.version, r.attributes, r.callback, r.traceparent)
            for r in requests
        ]
        return self._start(wanted, by) if wanted else []

    def _start(self, wanted: builtins.list[Start], by: str | None) -> builtins.list[Handle[Any]]:
        failpoint("P1")
        chunks = [wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE)]
        started = self._connections.call(
            lambda run: [s for some in chunks for s in self._accept(run, some, self._patience, by)],
            atomic=len(wanted) > 1,
        )
        failpoint("P2")
        self.publisher.publish([WakeUp(s.queue, ADVANCE, s.id) for s in started if s.is_new])
        return [Handle(self, s.id, is_new=s.is_new) for s in started]

    def _accept(
        self,
        run: Executor,
        wanted: builtins.list[Start],
        due_in: float | None,
        by: str | None = None,
    ) -> builtins.list[Started]:
        for asked in wanted:
            if asked.queue is None:  # by name: there was no code to check it with
                self._announced.check(run, asked)
        return starts.start(run, wanted, due_in, by)

    @property
    def _patience(self) -> float | None:
        """Seconds until the sweeper takes our wake-up for lost; None if we send none."""
        return _APPLY_WITHIN if self._broker_url else None

    def find(self, name: str, key: str) -> Handle[Any]:
        """The saga that was started with this key; raises SagaNotFound."""
        found = self._connections.call(lambda run: starts.find(run, name, key))
        if found is None:
            raise SagaNotFound(f"no saga {name!r} was started with key {key!r}")
        return Handle(self, found)

    # -- talking

    def handle(self, saga_id: UUID | str) -> Handle[Any]:
        """A handle to a saga started elsewhere; SagaNotFound is raised at its first use."""
        return Handle(self, as_uuid(saga_id))

    def signal(
        self,
        saga_id: UUID | str,
        name: str,
        payload: Any = None,
        *,
        dedup_id: str | None = None,
        sender: str | None = None,
        by: str | None = None,
        connection: Any = None,
    ) -> bool:
        """Sends a signal; signals of one name arrive in order. Whether it is new: the same
        `dedup_id` counts once.

        With `connection` it is part of the caller's transaction, like a start. `sender` stands in
        the audit trail as the actor, or beside the actor that `by` names. Raises SagaNotFound,
        SagaEnded, InvalidInput, Unavailable.
        """
        identity = as_uuid(saga_id)
        text = encode(payload, f"signal {name}")
        _check_words(name=name, dedup_id=dedup_id, sender=sender, by=by)
        if name.startswith("saga."):
            raise InvalidInput(f"name: {name}: signals named saga.* are the engine's own")

        def send(run: Executor, due_in: float | None) -> Signalled | None:
            return starts.signal(run, identity, name, text, dedup_id, sender, due_in, by)

        if connection is not None:
            return _accepted(identity, send(self._executor(connection), None))
        found = self._connections.call(lambda run: send(run, self._patience))
        failpoint("P14")
        accepted = _accepted(identity, found)
        if found is not None and accepted:
            self.publisher.publish([WakeUp(found.queue, ADVANCE, identity)])
        return accepted

    def approve(
        self,
        saga_id: UUID | str,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """Approves what a saga asks for at that position, and returns the position.

        The position, as `show` and `saga approvals` have it, binds the decision to the details that
        were seen there. It may be left out while the saga has asked only once (for an approval of
        that name). The same decision may be sent again, by the same person with the same reason:
        that changes nothing. Raises Conflict, with nothing changed, if another decision was taken,
        the time is up, the saga does not ask (yet), or if it has asked for several and no position
        says which. Raises SagaNotFound, InvalidInput, Unavailable.
        """
        return self._answer(saga_id, Answer(name, position, True, by, reason))

    def reject(
        self,
        saga_id: UUID | str,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """Rejects what a saga asks for; returns and raises like `approve`."""
        return self._answer(saga_id, Answer(name, position, False, by, reason))

    def _answer(self, saga_id: UUID | str, answer: Answer) -> int:
        identity = as_uuid(saga_id)
        _check_words(name=answer.name, by=answer.by, reason=answer.reason)
        check_position(answer.position)
        taken = self._connections.call(
            lambda run: approvals.answer(run, identity, answer, _APPLY_WITHIN)
        )
        if taken is None:
            return self._answered_before(identity, answer)
        queue, position = taken
        self.publisher.publish([WakeUp(queue, ADVANCE, identity)])
        return position

    def _answered_before(self, saga_id: UUID, answer: Answer) -> int:
        standing = self.standing(saga_id)
        asked = self._connections.call(lambda run: approvals.asked(run, saga_id))
        try:
            return answered_before(answer, asked, f"saga {saga_id} ({standing.status})")
        except Conflict as refusal:
            self.operator(answer.by).note_refused(answer, saga_id, refusal)
            raise

    def cancel(
        self, saga_id: UUID | str, *, by: str = "unknown", reason: str | None = None
    ) -> None:
        """Stops a saga and undoes what it did: see `Operator.cancel`."""
        self.operator(by).cancel(saga_id, reason=reason)

    def operator(self, by: str) -> Operator:
        """What a person may do to sagas, in that person's name."""
        return Operator(self._connections, lambda: self.publisher, by)

    def standing(self, saga_id: UUID) -> Standing:
        """Status, result and error as stored; raises SagaNotFound."""
        found = self._connections.call(lambda run: starts.standing(run, saga_id))
        if found is None:
            raise SagaNotFound(f"there is no saga {saga_id}")
        return found

    def await_end(self, saga_id: UUID) -> bool:
        """Asks for the end of a saga to be announced; False if it has ended, or is not there."""
        return self._connections.call(lambda run: starts.await_end(run, saga_id))

    # -- looking

    def list(
        self,
        wanted: SagaFilter | None = None,
        *,
        limit: int = 50,
        after: "Cursor | str | None" = None,
    ) -> "Page[SagaRow]":
        """One page of sagas, newest first. The next begins after its `next`, None on the last one;
        `str` of it may be handed out and given back. Raises InvalidInput, Unavailable.
        """
        return self._reading.rows(wanted, limit, after)

    def count(self, wanted: SagaFilter | None = None) -> int:
        """How many sagas there are. Raises InvalidInput, Unavailable."""
        counts = self._reading.counts(wanted, ())
        return counts[0].count if counts else 0

    def stats(
        self, wanted: SagaFilter | None = None, by: Sequence[str] = ("status",)
    ) -> "tuple[Count, ...]":
        """Numbers of sagas, the largest first: by `status`, `name`, `step` (where it stands, or
        failed), `error`, `queue`. A saga at several steps counts for each of them.
        """
        return self._reading.counts(wanted, by)

    def show(self, saga: UUID | str) -> "SagaDetail":
        """One saga with all its steps, attempts and signals, by its id, the first digits of it or
        its key. Raises SagaNotFound, InvalidInput (several have it), Unavailable.
        """
        return self._reading.detail(saga)

    def why(self, saga: UUID | str) -> "why_not.Answer":
        """Why a saga is not running, as `saga why` tells it: `answer`, a sentence, and all the
        `reasons` with kind, queue, step and times, the most telling first. Raises like `show`.
        """
        return self._reading.why(saga)

    def history(
        self, saga: UUID | str, *, after: int = 0, limit: int | None = None
    ) -> "tuple[Transition, ...]":
        """The transitions of a saga beyond number `after`, in order. Raises like `show`."""
        return self._reading.history(saga, after, limit)

    # -- connections

    @property
    def publisher(self) -> Publisher:
        """Where wake-ups go; one a process."""
        if self._pid != os.getpid():
            self._pid, self._publisher, self._lock = os.getpid(), None, threading.Lock()
        with self._lock:
            if self._publisher is None:
                self._publisher = self._new_publisher()
            return self._publisher

    # What waits in another way is made in another way.

    def _new_connections(self, url: str) -> Connections:
        return Connections(url, "saga client")

    def _new_reading(self, url: str) -> Reading:
        return Reading(url)

    def _new_publisher(self) -> Publisher:
        return publisher_for(self._broker_url, self._key_prefix)

    def _executor(self, connection: Any) -> Executor:
        return executor(connection)

    def close(self) -> None:
        """Closes what is open; the client can be used again. A `with` block does it at its end."""
        self._connections.close()
        self._reading.close()
        if self._publisher is not None and self._pid == os.getpid():
            self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_words(**given: str | None) -> None:
    for field, value in given.items():
        if value is not None:
            check_words(value, field)


def _accepted(saga_id: UUID, found: Signalled | None) -> bool:
    if found is None:
        raise SagaNotFound(f"there is no saga {saga_id}")
    if not found.known and not found.accepted:
        raise SagaEnded(f"saga {saga_id} takes no signals: it is {found.status}")
    return found.accepted
