"""The options that say which sagas, the same for every command that takes a filter."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from saga.core.saga_filter import SagaFilter
from saga.errors import InvalidInput
from saga.operations.cli.params import STATUS

F = TypeVar("F", bound=Callable[..., Any])

_OTHERS: dict[str, dict[str, Any]] = {
    "--status": {"multiple": True, "type": STATUS, "help": "Repeatable."},
    "--version": {"type": click.IntRange(min=1), "help": "Only this version of it."},
    "--key": {"help": "Started with this key."},
    "--step": {"metavar": "STEP", "help": "It stands at this step or undo, or failed at it."},
    "--error": {
        "metavar": "TEXT",
        "help": "Part of its error, or of a step's that is tried again or blocked; * is anything.",
    },
    "--waits-for": {
        "metavar": "WHAT",
        "help": "approval, signal, timer, child, worker, retry, unknown, person (blocked), one of "
        "them with a name as approval:refund, or a name.",
    },
    "--since": {"metavar": "WHEN", "help": "Started since: 30m, 2h, 1d ago, or a time."},
    "--until": {"metavar": "WHEN", "help": "Started before: 2h, 1d ago, or a time."},
    "--roots": {"is_flag": True, "help": "None that another saga has started."},
    "--older-than": {"metavar": "DURATION", "help": "Started longer ago: 30m, 2h, 1d."},
}


def filtering(name: str = "--name") -> Callable[[F], F]:
    """Gives a command the options, which it takes together as `wanted`, a SagaFilter. `name`: the
    option with the saga's name.
    """
    options = [
        click.option(name, "saga_name", metavar="NAME", help="Only sagas of this name."),
        *(click.option(option, **details) for option, details in _OTHERS.items()),
        click.option(
            "--attribute",
            "-a",
            "attributes",
            multiple=True,
            metavar="NAME=VALUE",
            help="With this attribute, or one in a range as 'amount>=10'; repeatable.",
        ),
    ]

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def collect(
            *args: Any, saga_name: str | None, status: tuple[str, ...], **given: Any
        ) -> Any:
            fields = {field: given.pop(field) for field in _FIELDS}
            return command(*args, wanted=_filter(saga_name, status, fields), **given)

        found: Any = collect
        for option in reversed(options):
            found = option(found)
        return found

    return decorate


_FIELDS = (
    "version",
    "key",
    "step",
    "error",
    "waits_for",
    "since",
    "until",
    "older_than",
    "attributes",
    "roots",
)


def _filter(name: str | None, statuses: tuple[str, ...], fields: dict[str, Any]) -> SagaFilter:
    """Raises UsageError."""
    found = SagaFilter(name=name, statuses=statuses, **fields)
    try:
        found.check()
    except InvalidInput as error:
        field, _, message = str(error).partition(": ")
        raise click.UsageError(f"--{field.replace('_', '-')}: {message}") from None
    return found
