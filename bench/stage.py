"""The servers that both engines share during one run, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from bench import ledger
from bench.meter import Meter, metered


class Stage:
    """One Postgres, one Redis, one folder for logs.

    `roles` names the servers' first processes, which are children of this one.
    """

    def __init__(
        self,
        postgres_url: str,
        redis_url: str,
        folder: Path,
        roles: Mapping[int, str],
        postgres_log: Path,
    ) -> None:
        self.postgres_url = postgres_url
        self.postgres_log = postgres_log
        self.folder = folder
        self.ledger = ledger.Ledger(folder / "ledger")
        self._redis_url = redis_url
        self._roles = {os.getpid(): "client", **roles}
        self._turns = 0
        self._used: set[str] = set()
        # An answer may be long in coming: the client of the latency workload blocks on a list.
        self.redis = redis.Redis.from_url(self.redis_database(3), socket_timeout=None)

    def turn(self) -> Path:
        """Forget what the last engine left; return a folder for this one's logs."""
        self._turns += 1
        self.redis.flushall()
        folder = self.folder / f"turn{self._turns:03}"
        folder.mkdir()
        self.ledger = ledger.Ledger(folder / "ledger")
        os.environ[ledger.VARIABLE] = str(self.ledger.path)
        return folder

    def first_use(self, name: str) -> bool:
        """True the first time that it is asked for this name."""
        fresh = name not in self._used
        self._used.add(name)
        return fresh

    def redis_database(self, number: int) -> str:
        """The URL of one of Redis' numbered databases."""
        return urlunsplit(urlsplit(self._redis_url)._replace(path=f"/{number}"))

    def database(self, name: str) -> str:
        """The URL of another database of the Postgres."""
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))

    def fresh_database(self, name: str, template: str = "template1") -> str:
        """Create a database, instead of one of that name, and return its URL."""
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**names)
            )
            connection.execute(
                sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names)
            )
            # The pages that were just copied are not to be written during the measurement.
            connection.execute("CHECKPOINT")
        return self.database(name)

    @contextmanager
    def metered(self, workers: Sequence[int]) -> Generator[Meter]:
        """Measure the block over the harness, the workers with these pids, and both servers."""
        with metered({**self._roles, **dict.fromkeys(workers, "workers")}) as meter:
            yield meter
