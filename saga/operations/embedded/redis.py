"""An embedded Redis server."""

import contextlib
import secrets
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from saga.operations.embedded import binaries
from saga.operations.embedded.ports import LOOPBACK, free_port, start_somewhere
from saga.operations.embedded.process import ServerProcess

# Redis holds no truth here, so nothing is written to disk unless `restart` asks for it.
_SETTINGS = """\
bind {host}
port {port}
requirepass {password}
dir "{home}"
databases {databases}
daemonize no
save ""
appendonly no
"""


class EmbeddedRedis:
    """A real `redis-server` on a free loopback port.

    It lives from `start` to `stop`, or to the end of this process however that comes about. Not
    for use by several threads at once.

    Args:
        data_dir: Its folder; None: a temporary one, removed by `stop`.
        port: None: a free one.
        password: What clients have to give; None: a random one.
        databases: How many numbered databases it has.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        databases: int = 16,
    ) -> None:
        self._process = ServerProcess("Redis", data_dir, signal.SIGTERM)
        self._databases = databases
        self._password = password or secrets.token_urlsafe(24)
        self.port = port or free_port()
        self._is_placed = port is not None  # nobody knows the port before, if it is our choice

    @property
    def url(self) -> str:
        """Where it listens, with the password: `redis://:…@127.0.0.1:…/0`."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The same for another numbered database."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def data_dir(self) -> Path:
        """Its folder, while it is started."""
        return self._process.home

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process.running

    @property
    def status(self) -> int | None:
        """The exit code of the last process, negative for a signal; None while it runs."""
        return self._process.status

    def start(self, timeout: float = 30.0) -> Self:
        """Start it and wait until it answers.

        Raises:
            EmbeddedError: It is not installed, or did not answer in `timeout` seconds; then it is
                stopped.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            if self._is_placed:
                self._run(timeout)
            else:
                start_somewhere(self, lambda: self._run(timeout))
            self._is_placed = True
            undo.pop_all()
        return self

    def stop(self) -> None:
        """End it and remove a temporary folder; again is harmless."""
        self._process.end(signal.SIGTERM)
        self._process.close()

    def kill(self) -> None:
        """End it with SIGKILL; `start` then brings back an empty server on the same port."""
        self._process.kill()

    def restart(self, *, empty: bool = True) -> None:
        """End it and start it on the same port, without or with what it held."""
        if empty:
            self._process.end(signal.SIGTERM)
            self.start()
            return
        self._ask("SAVE")
        self._process.end(signal.SIGTERM)
        self.start()
        (self._process.home / "dump.rdb").unlink()

    def flushall(self) -> None:
        """Remove everything from all databases."""
        self._ask("FLUSHALL")

    def flush(self, database: int) -> None:
        """Remove everything from one numbered database."""
        self._ask("FLUSHDB", database)

    def _run(self, timeout: float) -> None:
        self._spawn()
        self._process.wait_until(self._answers, timeout)

    def _spawn(self) -> None:
        program = binaries.redis_server()
        self._process.open()
        settings = _SETTINGS.format(
            host=LOOPBACK,
            port=self.port,
            password=self._password,
            home=self._process.home,
            databases=self._databases,
        )
        # Settings on standard input keep the password out of the process list.
        self._process.spawn([str(program), "-"], stdin=settings.encode())

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            self._ask("PING")
            return True
        return False

    def _ask(self, command: str, database: int = 0) -> None:
        # Whoever asks decides about retries.
        with redis.Redis(
            LOOPBACK,
            self.port,
            database,
            password=self._password,
            socket_timeout=10,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.execute_command(command)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
