"""A client whose connections wait in the event loop: what `AsyncClient` runs in greenlets."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from saga.client.client import Client
from saga.client.connections import Connections
from saga.client.reading import Reading
from saga.storage import queries
from saga.storage.awaited import AwaitedConnection, async_executor
from saga.storage.connect import connect_async
from saga.storage.starts import Executor
from saga.wakeups.message import Publisher, WakeUp, ended_channel
from saga.wakeups.publisher import publisher_for

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from sqlalchemy import Engine

_PAUSE = 0.1  # seconds
_MOST = 10  # connections


class AwaitingClient(Client):
    """Every method must run in a greenlet: see `saga.storage.awaited`."""

    def _new_connections(self, url: str) -> Connections:
        return _Connections(url, "saga client")

    def _new_reading(self, url: str) -> Reading:
        return _Reading(url)

    def _new_publisher(self) -> Publisher:
        return _Publisher(self._broker_url, self._key_prefix)

    def _executor(self, connection: Any) -> Executor:
        return async_executor(connection)


class _Connections(Connections):
    """Tasks are many, and Postgres takes few connections: some tasks wait for another's."""

    def __init__(self, database_url: str, application: str) -> None:
        super().__init__(database_url, application)
        self._room = asyncio.Semaphore(_MOST)

    @contextmanager
    def _connection(self) -> Generator[psycopg.Connection]:
        await_only(self._room.acquire())
        try:
            with super()._connection() as connection:
                yield connection
        finally:
            self._room.release()

    def _opened(self) -> psycopg.Connection:
        made = AwaitedConnection(await_only(connect_async(self._url, self._application)))
        return cast("psycopg.Connection", made)

    def _executor(self, connection: psycopg.Connection) -> Executor:
        def execute(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
            return connection.execute(sql.encode(), parameters).fetchall()

        return execute


class _Reading(Reading):
    def _open(self) -> "Engine":
        self._asynchronous = AsyncEngine(queries.reader(self._url, asynchronous=True))
        return self._asynchronous.sync_engine


class _Publisher:
    """Sends from a thread, which is short; waits in the event loop, which may be long."""

    def __init__(self, broker_url: str | None, key_prefix: str) -> None:
        self._inner = publisher_for(broker_url, key_prefix)
        self._broker_url = broker_url
        self._redis: Redis | None = None

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        sent = list(wakeups)
        if sent and self._broker_url:
            await_only(asyncio.to_thread(self._inner.publish, sent, ended))

    def length(self, queue: str) -> int | None:
        return await_only(asyncio.to_thread(self._inner.length, queue))

    def intact(self) -> bool:
        return await_only(asyncio.to_thread(self._inner.intact))

    @contextmanager
    def announcements(self, saga_id: UUID) -> Generator[Callable[[float], None]]:
        if self._broker_url is None:
            yield _pause
            return
        import redis

        errors = (redis.RedisError, OSError)
        ear = self._opened().pubsub()
        try:
            await_only(ear.subscribe(ended_channel(saga_id)))
        except errors:
            yield _pause
            return

        def heard(seconds: float) -> None:
            until = time.monotonic() + seconds
            try:
                while (left := until - time.monotonic()) > 0:
                    message: Any = await_only(cast("Any", ear.get_message(timeout=left)))
                    if message is not None and message["type"] == "message":
                        return
            except errors:
                _pause(seconds)

        try:
            yield heard
        finally:
            await_only(ear.aclose())

    def _opened(self) -> "Redis":
        import redis.asyncio

        if self._redis is None:
            assert self._broker_url
            self._redis = redis.asyncio.Redis.from_url(
                self._broker_url, socket_connect_timeout=2.0, socket_keepalive=True
            )
        return self._redis

    def close(self) -> None:
        self._inner.close()
        if self._redis is not None:
            await_only(self._redis.aclose())
            self._redis = None


def _pause(seconds: float) -> None:
    await_only(asyncio.sleep(min(seconds, _PAUSE)))
