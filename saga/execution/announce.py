"""Tells the database which sagas this worker can advance, so that others can start them by name,
and what its steps return, so that a person can say it by hand.
"""

import json
import logging

from saga.engine.catalog import Catalog
from saga.storage import announcements, migrate
from saga.storage.callers import executor
from saga.storage.connect import connect

log = logging.getLogger("saga.worker")


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
