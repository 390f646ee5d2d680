"""Servers and databases for tests.

Each pytest-xdist worker has one Postgres and one Redis of its own. Each test that asks has a
database and a broker that nothing was ever put into.
"""

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from saga.operations.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedStack
from tests.core import pythons

_TEMPLATE = "template_of_tests"
_REDIS_DATABASES = 256
_numbers = itertools.count(1)

# How long an example takes, and how long it takes to make one, says only how busy the machine is.
settings.register_profile("saga", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saga")


def pytest_report_header() -> str:
    return pythons.header()


@pytest.hookimpl(trylast=True)  # after they were put in random order
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each pytest-xdist worker must find the same tests: no addresses in their names. It gets a
    share of them one after the other, and begins with the slow ones: else one of these comes last
    somewhere, and the others wait for it.
    """
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError("give these parameters ids:\n" + "\n".join(unstable))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = [item for first in range(workers) for item in items[first::workers]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server that this worker's tests share: do not restart it, ask for `own_stack`."""
    with EmbeddedPostgres(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The server that this worker's tests share: do not flush it, ask for `own_stack`."""
    with EmbeddedRedis(databases=_REDIS_DATABASES) as server:
        yield server


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that tests get copies of."""
    _administer(postgres, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    _migrate(postgres.url_of(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, _template: str) -> Iterator[str]:
    """A fresh, migrated database; dropped afterwards, with whoever is still connected."""
    with _database(postgres, _template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database without our schema."""
    with _database(postgres, "template1") as url:
        yield url


@pytest.fixture
def broker_url(redis_server: EmbeddedRedis) -> str:
    """A fresh, empty numbered database of Redis.

    Never number 0: workers of fixtures that live as long as the session take their messages there,
    and would take this test's.
    """
    number = 1 + next(_numbers) % (_REDIS_DATABASES - 1)
    redis_server.flush(number)
    return redis_server.url_of(number)


@pytest.fixture(scope="session")
def _stopped_servers() -> Iterator[Path]:
    """The folder of a stack that was migrated and stopped cleanly: copies start at once."""
    with _folder() as folder:
        with EmbeddedStack(folder, durable=False) as stack:
            _migrate(stack.database_url)
        yield folder


@pytest.fixture
def own_stack(_stopped_servers: Path) -> Iterator[EmbeddedStack]:
    """Postgres, migrated, and Redis for this test alone, to kill, restart and flush."""
    with _folder() as folder:
        # `cp -a` keeps the owner of each file, who is not us when we are root.
        subprocess.run(["cp", "-a", f"{_stopped_servers}/.", str(folder)], check=True)
        with EmbeddedStack(folder, durable=False) as stack:
            yield stack


@contextlib.contextmanager
def _folder() -> Generator[Path]:
    """A temporary folder that the account of Postgres may enter; pytest's are closed to it."""
    with tempfile.TemporaryDirectory(prefix="saga-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextlib.contextmanager
def _database(server: EmbeddedPostgres, template: str) -> Generator[str]:
    name = f"test_{next(_numbers)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    _administer(server, sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
    yield server.url_of(name)
    _administer(server, sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


def _migrate(database_url: str) -> None:
    # Most tests are of the pure core, and start sooner without SQLAlchemy.
    from saga.storage.migrate import migrate

    migrate(database_url)


def _administer(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(statement)
