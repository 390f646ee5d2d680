"""The embedded servers, started for one run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.stage import Stage
from saga.operations.embedded import EmbeddedPostgres, EmbeddedRedis

# Both are the defaults of a server in production, and spelled out since the numbers rest on them.
_DURABLE = {"fsync": "on", "synchronous_commit": "on"}


@contextmanager
def stage(folder: Path, settings: Mapping[str, str] | None = None) -> Generator[Stage]:
    """Start Postgres and Redis in `folder`; stop them afterwards."""
    home = folder / "postgres"
    with (
        EmbeddedPostgres(home, settings={**_DURABLE, **(settings or {})}) as postgres,
        EmbeddedRedis() as redis,
    ):
        roles = {postgres.pid: "postgres", redis.pid: "redis"}
        yield Stage(postgres.url, redis.url, folder, roles, home / "log")
