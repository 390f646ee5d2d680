"""That a worker is there which has the code of some sagas: starts by name prefer what can run."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from saga.engine.attempt.catalog import Catalog
from saga.storage import announcements, migrate
from saga.storage.callers import executor
from saga.storage.connect import connect

log = logging.getLogger("saga.worker")

_EVERY = 3.0  # seconds; `saga.definition_of` believes it for 20


class Announcer:
    """Of the `sagas` (name, version) of one worker. Its calls share a connection with others."""

    def __init__(self, sagas: Sequence[tuple[str, int]]) -> None:
        self._sagas = sagas
        self._said_at: float | None = None

    def say(self, connection: psycopg.Connection) -> None:
        """Says so, if it is time to."""
        now = time.monotonic()
        if self._sagas and (self._said_at is None or now - self._said_at >= _EVERY):
            announcements.stay_announced(executor(connection), self._sagas)
            self._said_at = now

    def end(self, connection: psycopg.Connection) -> None:
        """The worker stops: what is started by name from now on is for those that go on."""
        if self._sagas:
            with suppress(psycopg.Error):
                announcements.withdraw(executor(connection), self._sagas)


def announce(database_url: str, catalog: Catalog) -> None:
    """Checks the schema and writes down the sagas and steps; raises SchemaOutdated."""
    with connect(database_url, "saga announce") as connection:
        newer = migrate.check(connection)
        if newer is not None:
            log.warning("the schema: %s", newer)
        sagas = [
            (s.name, s.version, s.queue, json.dumps(s.parameters.json_schema()))
            for s in catalog.sagas()
        ]
        if sagas:
            announcements.announce(executor(connection), sagas)
        steps = [(s.name, json.dumps(s.parameters.result_schema())) for s in catalog.steps()]
        if steps:
            announcements.announce_steps(executor(connection), steps)
