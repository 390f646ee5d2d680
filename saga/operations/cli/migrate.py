"""`saga migrate`."""

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings


@click.command("migrate", cls=SagaCommand)
def command() -> None:
    """Bring the database to the schema of this release.

    Safe to run from many processes at once, and again.
    """
    from saga.storage.migrate import migrate

    used = settings()
    done: list[str] = []
    migrate(used.database_url, done.append)
    text = "\n".join(map(safe, done)) or "The schema is up to date already."
    used.output.emit({"applied": done}, lambda screen: screen.print(text, markup=False))
