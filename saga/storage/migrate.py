"""Bringing a database to the schema of this release; safe from many processes at once."""

import logging
from collections.abc import Callable
from pathlib import Path
from time import sleep

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

import saga.migrations
from saga.errors import SchemaOutdated, Unavailable
from saga.storage.queries.snapshot import parse_url

log = logging.getLogger("saga.migrate")

_HOLDER = """
SELECT a.usename AS role, a.pid,
       has_database_privilege(a.usesysid, current_database(), 'CREATE') AS may_migrate
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.classid = 0
   AND l.objid::bigint = :l
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TABLE = {"version_table": "revision", "version_table_schema": "saga"}
_LOCK = 0x5A6A_0001  # one migrator at a time, whoever started it
_LOCK_TIMEOUT = 2.0  # seconds for which whoever wants the table has to queue up behind us
_PAUSE = 1.0  # seconds for which they do not
_TRIES = 100


def migrate(database_url: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Migrates the schema `saga` to the newest revision.

    A second process waits for the first and then finds nothing to do. Each revision is one
    transaction: a crash in the middle leaves the revision before it. A table in use is waited for,
    but in turns with its users, who would all queue up behind a migration that waits for good.
    `say` gets one line for each thing done. The schema of a newer release is left as it is. Raises
    Unavailable when a table does not get free for minutes.
    """
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            _wait_for_its_turn(connection)
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS saga"))
            connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT:g}s'"))
            connection.commit()
            _upgrade(connection, say)
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.commit()
    finally:
        engine.dispose()


def _wait_for_its_turn(connection: Connection) -> None:
    """Any role may take the lock: one that could not migrate is not waited for. Two that migrate
    without it only fail, since each revision is a transaction.
    """
    said = False
    while not connection.execute(text("SELECT pg_try_advisory_lock(:l)"), {"l": _LOCK}).scalar():
        holder = connection.execute(text(_HOLDER), {"l": _LOCK}).first()
        connection.commit()
        if holder is not None and not holder.may_migrate:
            log.warning(
                "the lock of migrations is held by role %s (session %s), which cannot migrate: it "
                "is not waited for",
                holder.role,
                holder.pid,
            )
            return
        if holder is not None and not said:
            said = True
            log.warning("role %s (session %s) is migrating: waiting", holder.role, holder.pid)
        sleep(_PAUSE)


def _upgrade(connection: Connection, say: Callable[[str], None]) -> None:
    config = _config()
    newer = _newer(MigrationContext.configure(connection, opts=_TABLE).get_current_revision())
    connection.commit()
    if newer is not None:
        log.warning("the schema is left as it is: %s", newer)
        return
    config.attributes["connection"] = connection
    config.attributes["say"] = say
    for _ in range(_TRIES):
        try:
            command.upgrade(config, "head")
            connection.commit()
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            connection.rollback()
            log.warning("a table is in use: it is tried again")
            sleep(_PAUSE)
        else:
            return
    raise Unavailable("a table that `saga migrate` must change is in use: see pg_locks")


def check(connection: psycopg.Connection) -> str | None:
    """Raises SchemaOutdated, with its cure, if the schema is of an older release. Returns a warning
    if it is of a newer one, which is made so that the release before it goes on working.
    """
    found = None
    if connection.execute("SELECT to_regclass('saga.revision')").fetchone() != (None,):
        row = connection.execute("SELECT version_num FROM saga.revision").fetchone()
        found = row[0] if row else None
    newer = _newer(found)
    wanted = _scripts().get_current_head()
    if newer is None and found != wanted:
        raise SchemaOutdated(
            f"the database's schema is at revision {found or 'none'}, this release needs {wanted}: "
            "run `saga migrate`"
        )
    return newer


def _newer(revision: str | None) -> str | None:
    """The warning for a revision that comes after all that this release has heard of."""
    scripts = _scripts()
    if revision is None or revision in {script.revision for script in scripts.walk_revisions()}:
        return None
    head = scripts.get_current_head()
    return f"its revision {revision} is of a newer release than this, which knows {head}"


def sqlalchemy_url(database_url: str) -> str:
    """The same database for SQLAlchemy, with psycopg 3 as its driver."""
    url = parse_url(database_url)
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(saga.migrations.__file__).parent))
    return config
