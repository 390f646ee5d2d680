"""A database with rows, and a shop with a worker."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from saga.operations.embedded import EmbeddedPostgres, EmbeddedRedis
from saga.storage.migrate import migrate, sqlalchemy_url
from tests.cli.commands import PATIENCE, run, spawn, until
from tests.cli.developing import Dev, Start, started
from tests.storage.rows import Rows


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    """Writes rows to the test's database."""
    engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield Rows(connection)
    engine.dispose()


@pytest.fixture
def wrong_password_url(database_url: str) -> str:
    """Of a database that is there."""
    return make_url(database_url).set(password="wrong").render_as_string(False)


@pytest.fixture(scope="session")
def shop_environment(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a running shop, whose worker serves all queues but the attic's."""
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE shop"))
    migrate(postgres.url_of("shop"))
    with EmbeddedRedis() as redis:
        environment = {
            "SAGA_DATABASE_URL": postgres.url_of("shop"),
            "SAGA_BROKER_URL": redis.url,
            "SHOP_NOTES": str(tmp_path_factory.mktemp("notes")),
        }
        worker = spawn("--app", "shop", "worker", "-Q", "sagas,stock", **environment)
        try:
            until(lambda: run("workers", "--json", **environment).json["workers"], "a worker")
            yield environment
        finally:
            end(worker)


@pytest.fixture
def attic_worker(shop_environment: dict[str, str]) -> Iterator[None]:
    """A worker that serves the attic's queue without the code for it."""
    worker = spawn("--app", "attic", "worker", **shop_environment)
    yield
    end(worker)


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, and wait."""
    process.terminate()
    process.communicate(timeout=PATIENCE)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Below /var/tmp when we are root, whose other folders Postgres' account cannot enter."""
    if os.geteuid() != 0:
        yield tmp_path / "data"
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name, "data")


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Runs `saga dev`; whatever of it the test leaves is killed."""
    made: list[Dev] = []

    def started_there(*options: str, **environment: str) -> Dev:
        made.append(started(directory, *options, **environment))
        return made[-1]

    yield started_there
    for dev in made:
        if dev.process.poll() is None:
            dev.end(signal.SIGKILL)
