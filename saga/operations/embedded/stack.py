"""Postgres and Redis together."""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from saga.operations.embedded.postgres import EmbeddedPostgres
from saga.operations.embedded.redis import EmbeddedRedis


class EmbeddedStack:
    """The two servers that sagas need.

    Args:
        data_dir: Keeps Postgres' data for the next time; None: temporary folders.
        durable: As for `EmbeddedPostgres`.
    """

    def __init__(self, data_dir: Path | None = None, *, durable: bool = True) -> None:
        self.postgres = EmbeddedPostgres(data_dir and data_dir / "postgres", durable=durable)
        self.redis = EmbeddedRedis(data_dir and data_dir / "redis")

    @property
    def database_url(self) -> str:
        """For `SAGA_DATABASE_URL`."""
        return self.postgres.url

    @property
    def broker_url(self) -> str:
        """For `SAGA_BROKER_URL`."""
        return self.redis.url

    def start(self) -> Self:
        """Start both and wait until they answer; if one cannot, neither runs."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self.postgres.start()
            self.redis.start()
            undo.pop_all()
        return self

    def stop(self) -> None:
        """Stop both; harmless when they do not run."""
        try:
            self.redis.stop()
        finally:
            self.postgres.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
