"""A connection to a fresh database, and rows in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine

from saga.storage.migrate import sqlalchemy_url
from tests.storage.rows import Rows


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Autocommits each statement."""
    made = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened:
        yield opened


@pytest.fixture
def rows(connection: Connection) -> Rows:
    return Rows(connection)
