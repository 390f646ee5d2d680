"""What the handlers of one server share."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Connection

from saga.client.client import Client
from saga.client.connections import Connections
from saga.client.operator import Operator
from saga.core.schema_check import check_input
from saga.errors import InvalidInput
from saga.operations.api.callers import Callers
from saga.operations.api.settings import ApiSettings
from saga.operations.api.shares import Shares
from saga.operations.api.watcher import Watcher
from saga.operations.metrics.system import SystemCollector
from saga.storage import progress, queries

T = TypeVar("T")

_FRESH = 5.0  # seconds for which an announced schema is taken from memory


class Services:
    """Connections open at their first use. Every method blocks: for handlers in threads."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.client = Client(settings.database_url, settings.broker_url)
        self.connections = Connections(settings.database_url, "saga api")
        self.callers = Callers(self.connections, settings)
        self.streams = Shares(settings.streams)
        self.watcher = Watcher(
            lambda ids: self.connections.call(lambda run: progress.look(run, ids))
        )
        self._reader = queries.reader(settings.database_url, pool_size=10)
        self.metrics = SystemCollector(self._reader)
        self._schemas: dict[tuple[str, int | None], tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Runs queries as of one moment."""
        with queries.snapshot(self._reader) as connection:
            return work(connection)

    def operator(self, name: str) -> Operator:
        """Somebody who acts on sagas."""
        return self.client.operator(name)

    def check_input(self, name: str, version: int | None, given: Mapping[str, Any]) -> None:
        """Raises InvalidInput for what the saga, as a worker has announced it, cannot take."""
        schema = self._schema(name, version)
        if schema is None:
            return
        try:
            check_input(name, schema, given)
        except InvalidInput as error:
            raise InvalidInput(f"input.{str(error).removeprefix(f'{name}: ')}") from None

    def _schema(self, name: str, version: int | None) -> Any:
        now = time.monotonic()
        with self._lock:
            read_at, schema = self._schemas.get((name, version), (-_FRESH, None))
        if now - read_at < _FRESH:
            return schema
        schema = self.read(lambda connection: queries.announced_input(connection, name, version))
        if schema is not None:  # what anybody may invent is not kept
            with self._lock:
                self._schemas[name, version] = now, schema
        return schema

    def close(self) -> None:
        """Closes what is open."""
        self.client.close()
        self.connections.close()
        self._reader.dispose()


def services(request: Request) -> Services:
    """Those of the app."""
    return cast("Services", request.app.state.services)


Using = Annotated[Services, Depends(services)]
