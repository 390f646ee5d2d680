"""`saga grants`."""

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.settings import settings
from saga.storage.grants import API, MIGRATOR, STARTER, WORKER, grants


@click.command("grants", cls=SagaCommand)
@click.option("--migrator", metavar="ROLE", help="That migrates, makes tokens and prunes.")
@click.option("--worker", metavar="ROLE", help="Of workers.")
@click.option("--api", metavar="ROLE", help="Of `saga serve`, clients and the command line.")
@click.option("--starter", metavar="ROLE", help="That starts and signals in SQL only.")
def command(
    *, migrator: str | None, worker: str | None, api: str | None, starter: str | None
) -> None:
    """Print the SQL that gives database roles what they need, and no more.

    Without a role that of all four, by the names saga_migrator, saga_worker, saga_api and
    saga_starter. Nothing is asked of the database. Run it as the owner of the schema, after each
    `saga migrate`; the roles must exist.
    """
    given = {MIGRATOR: migrator, WORKER: worker, API: api, STARTER: starter}
    chosen = {kind: role for kind, role in given.items() if role}
    sql = grants(chosen or {kind: f"saga_{kind}" for kind in given})
    settings().output.emit({"sql": sql}, lambda screen: screen.print(sql, markup=False))
