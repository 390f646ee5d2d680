"""Connections of a client: one a thread at work, kept for the next call."""

import os
import select
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import psycopg

from saga.errors import SagaError
from saga.storage.callers import executor
from saga.storage.connect import connect
from saga.storage.errors import explained
from saga.storage.starts import Executor

T = TypeVar("T")

_DEADLOCKS = 5


class Connections:
    """Safe for threads; after a fork each process opens its own."""

    def __init__(self, database_url: str, application: str) -> None:
        self._url = database_url
        self._application = application
        self._free: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def call(self, work: Callable[[Executor], T], atomic: bool = False) -> T:
        """Runs `work`; what writes in one statement needs no transaction around it.

        Raises Unavailable, with the reason, when Postgres is away or cannot do it; when it is away,
        that says nothing about what was done.
        """
        with (
            self._translated(),
            self._connection() as connection,
            connection.transaction() if atomic else nullcontext(),
        ):
            return work(self._executor(connection))

    def transact(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Runs `work` in one transaction, again if it met another one in a deadlock.

        Raises Unavailable, with the reason, when Postgres is away or cannot do it; when it is away,
        that says nothing about what was done.
        """
        left = _DEADLOCKS
        with self._translated():
            while True:
                left -= 1
                try:
                    with self._connection() as connection, connection.transaction():
                        return work(connection)
                except psycopg.errors.DeadlockDetected:
                    if not left:
                        raise

    def close(self) -> None:
        """Closes what is idle; more can be opened."""
        with self._lock:
            for connection in self._free:
                connection.close()
            self._free.clear()

    @staticmethod
    @contextmanager
    def _translated() -> Generator[None]:
        """Errors of the driver as ours."""
        try:
            yield
        except psycopg.Error as error:
            ours = explained(error)
            if ours is None:
                raise
            raise ours from error

    @contextmanager
    def _connection(self) -> Generator[psycopg.Connection]:
        self._after_fork()
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is None or _is_gone(connection):
            connection = self._opened()
        try:
            yield connection
        except SagaError:  # ours: the connection is as good as before
            self._put_back(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._put_back(connection)

    def _opened(self) -> psycopg.Connection:
        return connect(self._url, self._application)

    def _executor(self, connection: psycopg.Connection) -> Executor:
        return executor(connection)

    def _put_back(self, connection: psycopg.Connection) -> None:
        with self._lock:
            self._free.append(connection)

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._free = os.getpid(), []
            self._lock = threading.Lock()


def _is_gone(connection: psycopg.Connection) -> bool:
    """Whether the server has hung up; an idle connection has nothing else to say."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return False
    connection.close()
    return True
