"""`saga start`."""

from dataclasses import replace
from json import dumps
from typing import Any, cast

import click
from pydantic_core import to_jsonable_python

from saga.client.requests import StartRequest
from saga.core.declare.registry import registry
from saga.execution.modules import import_each
from saga.operations.cli.clients import client
from saga.operations.cli.ends import result_of
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import plain
from saga.operations.cli.params import ATTRIBUTE, JSON
from saga.operations.cli.safe import compact
from saga.operations.cli.settings import settings


@click.command("start", cls=SagaCommand)
@click.argument("name", metavar="NAME")
@click.option(
    "--input",
    "given",
    type=JSON,
    default="{}",
    metavar="JSON",
    help="An object with the saga's arguments by name; @file.json reads a file, - standard input.",
)
@click.option("--key", help="Idempotency key: the same key starts the saga once.")
@click.option("--version", type=click.IntRange(min=1), help="By default the newest.")
@click.option(
    "--attribute",
    "-a",
    "pairs",
    type=ATTRIBUTE,
    multiple=True,
    metavar="NAME=VALUE",
    help="For search.",
)
@click.option("--callback", metavar="URL", help="An https URL that is told of the end.")
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait for the result."
)
def command(
    *,
    name: str,
    given: Any,
    key: str | None,
    version: int | None,
    pairs: tuple[tuple[str, Any], ...],
    callback: str | None,
    wait: float | None,
) -> None:
    """Start the saga NAME and print its id.

    With --app the input is checked here against the saga's parameters; without it, the newest
    version that a worker has announced is started.
    """
    used = settings()
    import_each(used.app_modules)
    with client() as talking:
        wanted = _request(name, given, version, bool(used.app_modules))
        request = replace(wanted, key=key, attributes=dict(pairs) or None, callback=callback)
        handle = talking.start_many([request])[0]
        answer: dict[str, Any] = {"id": handle.id, "name": name, "key": key}
        if wait is None:
            used.output.say(answer, str(handle.id))
            return
        result = result_of(handle, wait)
    shown = plain(to_jsonable_python(result))
    used.output.say({**answer, "result": shown}, f"{handle.id} {compact(shown)}")


def _request(name: str, given: Any, version: int | None, checked: bool) -> StartRequest:
    """What to start; with the user's code at hand the input is checked against it."""
    if not isinstance(given, dict):
        raise click.UsageError(
            '--input: an object with the arguments by name, like {"order_id": 7}, not '
            + compact(given, 40)
        )
    values = cast("dict[str, Any]", given)
    if not checked:
        return StartRequest(name, values, version=version)
    definition = registry.saga(name, version)
    return StartRequest(definition, definition.decode_input(definition.check_input(dumps(values))))
