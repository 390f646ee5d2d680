"""An embedded Postgres server."""

import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import LiteralString, Self

import psycopg

from saga.operations.embedded.cluster import DATABASE, USER, Cluster
from saga.operations.embedded.orphans import end_orphans
from saga.operations.embedded.ports import LOOPBACK, free_port, start_somewhere
from saga.operations.embedded.process import ServerProcess

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Costs more to compile than our short statements take to run.
    "jit": "off",
    # The password is 192 random bits; stretching it would only make each connection slow.
    "scram_iterations": "1",
}


class EmbeddedPostgres:
    """A real Postgres on a free loopback port.

    It lives from `start` to `stop`, or to the end of this process however that comes about.
    Started by root, it runs as an unprivileged account. Not for use by several threads at once.

    Args:
        data_dir: Its folder, which keeps the data for the next time; None: a temporary one,
            removed by `stop`.
        port: None: a free one.
        durable: Write through to the disk at each commit, as a production server does. Without
            it data survives any death of processes, but not of the machine.
        settings: More server settings, by name.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._process = ServerProcess("Postgres", data_dir, signal.SIGQUIT)
        self._settings = _SETTINGS | {"fsync": "on" if durable else "off"} | dict(settings or {})
        self._cluster: Cluster | None = None
        self.port = port or free_port()
        self._is_placed = port is not None  # nobody knows the port before, if it is our choice

    @property
    def url(self) -> str:
        """Where it listens, with the password: `postgresql://saga:…@127.0.0.1:…/saga`."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The same for another database."""
        assert self._cluster is not None, "start it first"
        return f"postgresql://{USER}:{self._cluster.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def data_dir(self) -> Path:
        """Its folder, while it is started."""
        return self._process.home

    @property
    def pid(self) -> int:
        """The process id of its first process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process.running

    @property
    def status(self) -> int | None:
        """The exit code of the last process, negative for a signal; None while it runs."""
        return self._process.status

    def start(self, timeout: float = 60.0) -> Self:
        """Make the cluster if there is none, start it and wait until it answers.

        Raises:
            EmbeddedError: It is not installed, its folder cannot be used, or it did not answer in
                `timeout` seconds; then it is stopped.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            if self._is_placed:
                self._run(timeout)
            else:
                start_somewhere(self, lambda: self._run(timeout))
            self._is_placed = True
            self._ensure_database()
            undo.pop_all()
        return self

    def stop(self) -> None:
        """End it, cutting off its clients, and remove a temporary folder; again is harmless."""
        self._process.end(signal.SIGINT)
        self._process.close()
        self._cluster = None

    def kill(self) -> None:
        """SIGKILL to all its processes; `start` then recovers the data on the same port."""
        self._process.kill()

    def restart(self, *, immediate: bool = False) -> None:
        """End it and start it on the same port; `immediate`: as a crash, without a checkpoint."""
        self._process.end(signal.SIGQUIT if immediate else signal.SIGINT)
        self.start()

    def _run(self, timeout: float) -> None:
        self._spawn()
        self._process.wait_until(self._answers, timeout)

    def _spawn(self) -> None:
        if self._cluster is None:
            self._process.open()
            cluster = Cluster(self._process.home, lasting=not self._process.temporary)
            cluster.prepare()
            self._cluster = cluster
        else:  # ours has ended by itself; its data is nobody else's
            end_orphans(self._cluster.program("postgres").resolve(), self._cluster.data.resolve())
        settings = self._settings | {"port": str(self.port)}
        self._process.spawn(
            [
                str(self._cluster.program("postgres")),
                f"-D{self._cluster.data}",
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            account=self._cluster.account,
        )

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self._connect("postgres"):
            return True
        return False

    def _ensure_database(self) -> None:
        with self._connect("postgres") as connection:
            found = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                create: LiteralString = f"CREATE DATABASE {DATABASE}"
                connection.execute(create)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
