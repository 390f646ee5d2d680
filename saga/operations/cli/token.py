"""`saga token`: who may use the HTTP API, and for what."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from rich.console import Console

from saga.client.connections import Connections
from saga.client.requests import check_words
from saga.client.units import clock
from saga.errors import SagaNotFound
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import show_table
from saga.operations.cli.params import SINCE, actor, by
from saga.operations.cli.settings import settings
from saga.operations.tokens import ROLES, hashed, new_token
from saga.storage import tokens
from saga.storage.starts import Executor
from saga.storage.tokens import TokenRow

T = TypeVar("T")


@click.group("token")
def command() -> None:
    """Create, list and revoke tokens of the HTTP API."""


@command.command("create", cls=SagaCommand)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="viewer reads; operator also starts, signals, cancels, compensates and retries; approver "
    "reads, approves and rejects; admin does all, and reads the audit trail.",
)
@click.option("--expires", type=SINCE, metavar="WHEN", help="In 12h, 30d, ...; by default never.")
@by
def create(name: str, role: str, expires: datetime | timedelta | None, by: str | None) -> None:
    """Create a token for NAME, who stands in the audit trail, and print it once.

    Only its hash is kept.
    """
    check_words(name, "NAME")
    if isinstance(expires, datetime):
        raise click.UsageError("--expires: in how long, like 12h or 30d")
    token, hint = new_token()
    until = _call(
        lambda run: tokens.create(run, name, role, hashed(token), hint, actor(by), expires)
    )
    value = {"token": token, "name": name, "role": role, "expires_at": until}
    settings().output.say(value, token)


@command.command("list", cls=SagaCommand)
@click.option("--all", "revoked", is_flag=True, help="Also those that were revoked.")
def list_(revoked: bool) -> None:
    """List tokens: their names, never themselves."""
    rows = _call(lambda run: tokens.list_tokens(run, revoked))
    settings().output.emit({"tokens": rows}, lambda screen: _render(screen, rows))


@command.command("revoke", cls=SagaCommand)
@click.argument("name")
@by
def revoke(name: str, by: str | None) -> None:
    """Revoke the token of NAME at once."""
    if not _call(lambda run: tokens.revoke(run, name, actor(by))):
        raise SagaNotFound(f"no token named {name!r} is in use: see `saga token list`")
    settings().output.say({"revoked": name}, "revoked")


def _call(work: Callable[[Executor], T]) -> T:
    connections = Connections(settings().database_url, "saga token")
    try:
        return connections.call(work)
    finally:
        connections.close()


def _render(screen: Console, rows: list[TokenRow]) -> None:
    if not rows:
        screen.print("No tokens.")
        return
    show_table(
        screen,
        ["NAME", "ROLE", "BEGINS WITH", "CREATED", "BY", "EXPIRES", "REVOKED"],
        [
            [
                row.name,
                row.role,
                row.hint,
                clock(row.created_at),
                row.created_by,
                _when(row.expires_at),
                _when(row.revoked_at),
            ]
            for row in rows
        ],
    )


def _when(moment: Any) -> str:
    return "" if moment is None else clock(moment)
