"""`saga why`."""

import click
from rich.console import Console
from rich.text import Text

from saga.client.why_not import Answer, why_not
from saga.operations.cli.clients import reading
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.params import saga_id
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings
from saga.operations.cli.timeline import show_commands
from saga.operations.next_commands import next_commands
from saga.storage.queries import find_saga, standstill


@click.command("why", cls=SagaCommand)
@saga_id
def command(saga_id: str) -> None:
    """Tell why a saga is not running: what it waits for, since when, until when, and for whom."""
    with reading() as connection:
        found = standstill(connection, find_saga(connection, saga_id))
    answer = why_not(found)
    idle = sorted({one.queue for one in answer.reasons if one.kind == "no_worker" and one.queue})
    commands = next_commands(found.saga, idle, told_why=True)
    value = {
        "id": answer.id,
        "status": answer.status,
        "answer": answer.answer,
        "reasons": answer.reasons,
        "commands": commands,
    }
    settings().output.emit(value, lambda screen: _render(screen, answer, commands))


def _render(screen: Console, answer: Answer, commands: list[str]) -> None:
    screen.print(Text(safe(answer.answer), "bold"))
    for reason in answer.reasons[1:]:
        screen.print(Text(f"- {safe(reason.text)}"))
    show_commands(screen, commands)
