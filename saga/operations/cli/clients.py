"""Clients and readers with the URLs of the options."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection

from saga.client.client import Client
from saga.operations.cli.settings import settings
from saga.storage import queries


@contextmanager
def client() -> Generator[Client, None, None]:
    """A client that is closed afterwards."""
    used = settings()
    made = Client(used.database_url, used.broker_url)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def reading() -> Generator[Connection, None, None]:
    """A snapshot of the database."""
    engine = queries.reader(settings().database_url, pool_size=1)
    try:
        with queries.snapshot(engine) as connection:
            yield connection
    finally:
        engine.dispose()
