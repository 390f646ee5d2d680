"""Writes reference.md from docstrings: `python docs/reference.py > docs/reference.md`."""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import click

import saga
import saga.testing
from saga.core.states import SagaStatus, StepState
from saga.operations.cli import main
from saga.operations.cli.settings import Settings

_SHARED = {"app", "database_url", "broker_url", "json", "debug", "help"}


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Generated from docstrings by `docs/reference.py`: do not edit.",
        "## `saga`",
        *(entry for name in saga.__all__ for entry in _name("saga", name, getattr(saga, name))),
        "## `saga.testing`",
        *(
            entry
            for name in saga.testing.__all__
            for entry in _name("saga.testing", name, getattr(saga.testing, name))
        ),
        "## Statuses of a saga",
        _states(SagaStatus),
        "## States of a step",
        _states(StepState),
        "## The command line",
        "Every command takes `--app`, `--database-url`, `--broker-url`, `--json` and `--debug`.",
        *_commands(main, "saga"),
    ]
    return "\n\n".join(parts) + "\n"


def _name(module: str, name: str, value: Any) -> Iterator[str]:
    yield f"### `{module}.{name}`"
    signature = _signature(value)
    if signature:
        yield f"```text\n{name}{signature}\n```"
    yield inspect.cleandoc(value.__doc__ or "")
    if inspect.isclass(value) and not issubclass(value, Exception):
        for method, member in vars(value).items():
            is_public = not method.startswith("_") and getattr(member, "__doc__", None)
            if is_public and (inspect.isfunction(member) or isinstance(member, property)):
                yield _method(method, member)


def _method(name: str, member: Any) -> str:
    shown = f"`.{name}`" if isinstance(member, property) else f"`.{name}{_signature(member)}`"
    lines = inspect.cleandoc(member.__doc__ or "").splitlines()
    return "\n".join([f"- {shown}: {lines[0]}", *(f"  {line}".rstrip() for line in lines[1:])])


def _signature(value: Any) -> str:
    if inspect.isclass(value) and issubclass(value, Exception):
        return ""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parameters = [p for p in found.parameters.values() if p.name != "self"]
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return str(inspect.Signature(bare))


def _states(states: Any) -> str:
    rows = [f"- `{state.value}`" for state in states]
    return inspect.cleandoc(states.__doc__ or "") + "\n\n" + "\n".join(rows)


def _commands(group: click.Group, name: str) -> Iterator[str]:
    context = click.Context(group, obj=Settings())
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {verb}")
            continue
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"### `{name} {verb}`"
        yield f"```text\n{name} {verb} {usage}\n```"
        yield inspect.cleandoc((command.help or "").replace("\b", "")).strip()
        options = [_option(p) for p in command.params if p.name not in _SHARED]
        if any(options):
            yield "\n".join(filter(None, options))


def _option(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option):
        return ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return f"- {names}" + (f": {parameter.help}" if parameter.help else "")


if __name__ == "__main__":
    sys.stdout.write(reference())
