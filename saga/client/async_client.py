"""The client for programs on an event loop: no thread is held while Postgres is waited for."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Self, overload
from uuid import UUID

from sqlalchemy.util import greenlet_spawn
from typing_extensions import TypeVar  # typing's own has no default before Python 3.13

from saga.client.awaiting import AwaitingClient
from saga.client.handle import Handle
from saga.client.operator import Operator
from saga.client.requests import StartRequest
from saga.core.declare.definitions import SagaDefinition
from saga.core.undo.preview import Preview
from saga.core.which_approval import Answer
from saga.errors import Conflict
from saga.storage.starts import Standing

if TYPE_CHECKING:
    from saga.client import why_not
    from saga.core.saga_filter import SagaFilter
    from saga.storage.queries import Count, Cursor, Page, SagaDetail, SagaRow, Transition

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", default=Any)


def _run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    return greenlet_spawn(work, *args, **kwargs)


class AsyncClient:
    """Does all that `Client` does, with `await`, on psycopg's async connections.

    Each method takes, gives and raises what that of `Client` does; `connection` is psycopg's
    AsyncConnection, or an AsyncConnection or AsyncSession of SQLAlchemy. For one event loop, and
    any number of tasks on it, which share ten connections, and five more for lists and the like.
    """

    def __init__(
        self,
        database_url: str | None = None,
        broker_url: str | None = None,
        *,
        key_prefix: str = "",
    ) -> None:
        """See `Client`."""
        self._client = AwaitingClient(database_url, broker_url, key_prefix=key_prefix)

    # As `Client.start`, whose comment says why there are so many.
    @overload
    async def start(
        self, saga: SagaDefinition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
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
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        version: int | None,
        connection: object = None,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        connection: object,
        attributes: Mapping[str, Any] | None = None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        attributes: Mapping[str, Any] | None,
        callback: str | None = None,
        **kwargs: Any,
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
        self,
        saga: SagaDefinition[..., R],
        /,
        *args: Any,
        callback: str | None,
        **kwargs: Any,
    ) -> AsyncHandle[R]: ...
    @overload
    async def start(
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
    ) -> AsyncHandle[Any]: ...
    async def start(
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
    ) -> AsyncHandle[Any]:
        """See `Client.start`."""
        options = {
            "key": key,
            "version": version,
            "connection": connection,
            "attributes": attributes,
            "callback": callback,
        }
        start: Callable[..., Handle[Any]] = self._client.start
        return AsyncHandle(await greenlet_spawn(start, saga, *args, **options, **kwargs))

    async def start_many(
        self, requests: Iterable[StartRequest[R]], *, by: str | None = None
    ) -> builtins.list[AsyncHandle[R]]:
        """See `Client.start_many`."""
        return [AsyncHandle(one) for one in await _run(self._client.start_many, requests, by=by)]

    async def find(self, name: str, key: str) -> AsyncHandle[Any]:
        """See `Client.find`."""
        return AsyncHandle(await _run(self._client.find, name, key))

    def handle(self, saga_id: UUID | str) -> AsyncHandle[Any]:
        """See `Client.handle`; there is nothing to wait for."""
        return AsyncHandle(self._client.handle(saga_id))

    async def signal(
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
        """See `Client.signal`."""
        return await _run(
            self._client.signal,
            saga_id,
            name,
            payload,
            dedup_id=dedup_id,
            sender=sender,
            by=by,
            connection=connection,
        )

    async def approve(
        self,
        saga_id: UUID | str,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.approve`."""
        answer = self._client.approve
        return await _run(answer, saga_id, name, position=position, by=by, reason=reason)

    async def reject(
        self,
        saga_id: UUID | str,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.reject`."""
        answer = self._client.reject
        return await _run(answer, saga_id, name, position=position, by=by, reason=reason)

    async def cancel(
        self, saga_id: UUID | str, *, by: str = "unknown", reason: str | None = None
    ) -> None:
        """See `Client.cancel`."""
        await _run(self._client.cancel, saga_id, by=by, reason=reason)

    def operator(self, by: str) -> AsyncOperator:
        """See `Client.operator`; there is nothing to wait for."""
        return AsyncOperator(self._client.operator(by))

    async def standing(self, saga_id: UUID) -> Standing:
        """See `Client.standing`."""
        return await _run(self._client.standing, saga_id)

    async def await_end(self, saga_id: UUID) -> bool:
        """See `Client.await_end`."""
        return await _run(self._client.await_end, saga_id)

    async def list(
        self,
        wanted: SagaFilter | None = None,
        *,
        limit: int = 50,
        after: Cursor | str | None = None,
    ) -> Page[SagaRow]:
        """See `Client.list`."""
        return await _run(self._client.list, wanted, limit=limit, after=after)

    async def count(self, wanted: SagaFilter | None = None) -> int:
        """See `Client.count`."""
        return await _run(self._client.count, wanted)

    async def stats(
        self, wanted: SagaFilter | None = None, by: Sequence[str] = ("status",)
    ) -> tuple[Count, ...]:
        """See `Client.stats`."""
        return await _run(self._client.stats, wanted, by)

    async def show(self, saga: UUID | str) -> SagaDetail:
        """See `Client.show`."""
        return await _run(self._client.show, saga)

    async def why(self, saga: UUID | str) -> why_not.Answer:
        """See `Client.why`."""
        return await _run(self._client.why, saga)

    async def history(
        self, saga: UUID | str, *, after: int = 0, limit: int | None = None
    ) -> tuple[Transition, ...]:
        """See `Client.history`."""
        return await _run(self._client.history, saga, after=after, limit=limit)

    async def close(self) -> None:
        """See `Client.close`; an `async with` block does it at its end."""
        await _run(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncHandle(Generic[R]):
    """A saga that was started, in the hand of an `AsyncClient`: see `Handle`."""

    def __init__(self, handle: Handle[R]) -> None:
        self._handle = handle
        self.id = handle.id
        self.is_new = handle.is_new

    async def status(self) -> str:
        """See `Handle.status`."""
        return await _run(self._handle.status)

    async def exposed(self) -> Any:
        """See `Handle.exposed`."""
        return await _run(self._handle.exposed)

    async def result(self, timeout: timedelta | float | None = None) -> R:  # noqa: ASYNC109 - as Handle has it
        """See `Handle.result`; no thread waits."""
        return await _run(self._handle.result, timeout)

    async def signal(
        self,
        name: str,
        payload: Any = None,
        *,
        dedup_id: str | None = None,
        sender: str | None = None,
        connection: Any = None,
    ) -> bool:
        """See `Client.signal`."""
        send = self._handle.signal
        return await _run(
            send, name, payload, dedup_id=dedup_id, sender=sender, connection=connection
        )

    async def approve(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.approve`."""
        return await _run(self._handle.approve, name, position=position, by=by, reason=reason)

    async def reject(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.reject`."""
        return await _run(self._handle.reject, name, position=position, by=by, reason=reason)

    async def cancel(self, *, by: str = "unknown", reason: str | None = None) -> None:
        """See `Client.cancel`."""
        await _run(self._handle.cancel, by=by, reason=reason)

    def __repr__(self) -> str:
        return f"<saga {self.id}>"


class AsyncOperator:
    """Acts in one person's name: see `Operator`."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.by = operator.by

    async def preview(
        self, saga_id: UUID | str, *, only: Collection[int] = (), since: int | None = None
    ) -> Preview:
        """See `Operator.preview`."""
        return await _run(self._operator.preview, saga_id, only=only, since=since)

    async def compensate(
        self,
        saga_id: UUID | str,
        *,
        only: Collection[int] = (),
        since: int | None = None,
        reason: str,
    ) -> None:
        """See `Operator.compensate`."""
        await _run(self._operator.compensate, saga_id, only=only, since=since, reason=reason)

    async def cancel(self, saga_id: UUID | str, *, reason: str | None = None) -> None:
        """See `Operator.cancel`."""
        await _run(self._operator.cancel, saga_id, reason=reason)

    async def resolve(
        self,
        saga_id: UUID | str,
        position: int,
        action: Literal["retry", "skip", "done"],
        *,
        undo: bool | None = None,
        result: Any = None,
        reason: str | None = None,
    ) -> None:
        """See `Operator.resolve`."""
        decide = self._operator.resolve
        await _run(decide, saga_id, position, action, undo=undo, result=result, reason=reason)

    async def retry(self, saga_id: UUID | str, *, reason: str | None = None) -> None:
        """See `Operator.retry`."""
        await _run(self._operator.retry, saga_id, reason=reason)

    async def note_refused(self, answer: Answer, saga_id: UUID, refusal: Conflict) -> None:
        """See `Operator.note_refused`."""
        await _run(self._operator.note_refused, answer, saga_id, refusal)
