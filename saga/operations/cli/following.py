"""Looking again and again, until told to stop."""

import time
from collections.abc import Callable
from contextlib import suppress

import click
from sqlalchemy import Connection, Engine

from saga.errors import Unavailable
from saga.operations.cli.output import console
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.storage import queries

_EVERY = 0.5  # seconds
_AWAY = 2.0

follow = click.option("--follow", is_flag=True, help="Go on showing what is new; Ctrl-C ends it.")


def repeat(look: Callable[[Connection], bool]) -> None:
    """Calls `look` until it says that there is nothing more to come. A database that is away is
    waited for.
    """
    opened = queries.reader(settings().database_url, pool_size=1)
    try:
        with suppress(KeyboardInterrupt):
            while not _looked(opened, look):
                time.sleep(_EVERY)
    finally:
        opened.dispose()


def _looked(opened: Engine, look: Callable[[Connection], bool]) -> bool:
    try:
        with queries.snapshot(opened) as connection:
            return look(connection)
    except Unavailable as error:
        console(stderr=True).print(safe(f"{error}; trying again"), markup=False)
        time.sleep(_AWAY)
        return False
