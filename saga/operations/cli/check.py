"""`saga check`."""

import dataclasses

import click
from rich.console import Console
from rich.text import Text

from saga.operations.check import Finding, check
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings


@click.command("check", cls=SagaCommand)
@click.argument("modules", metavar="MODULE...", nargs=-1)
def command(modules: tuple[str, ...]) -> int:
    """Look for what a replay could not repeat in the text of sagas; nothing is imported.

    MODULE is a module, a package or a file, by default what --app names. Found are clocks, chance,
    I/O, calls that nobody awaits, and steps without a compensation before a pivot, in sagas and in
    the functions of the same file that they call. A line that ends in `# saga: ignore` is passed
    over. Exits with 1 if anything is found.
    """
    wanted = modules or tuple(settings().app_modules)
    if not wanted:
        raise click.UsageError("name a module, or give --app")
    found = check(wanted)
    settings().output.emit(
        {"findings": [dataclasses.asdict(one) for one in found]}, lambda to: _show(to, found)
    )
    return 1 if found else 0


def _show(screen: Console, found: list[Finding]) -> None:
    for one in found:
        screen.print(Text(safe(str(one))))
    if not found:
        screen.print("nothing found")
