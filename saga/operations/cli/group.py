"""The group and its commands: options that all share, commands loaded when they are asked for."""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from saga.operations.cli.failures import explain
from saga.operations.cli.settings import Settings

# A group without a command: its text is the help. Before click 8.2 it was no error.
_NO_COMMAND: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


def shared_options() -> list[click.Parameter]:
    """--json and the others, to stand before or after the command."""
    options: dict[str, dict[str, Any]] = {
        "--app": {
            "metavar": "MODULE",
            "multiple": True,
            "help": "A module that defines steps and sagas, as for Celery; repeatable [SAGA_APP].",
        },
        "--database-url": {"metavar": "URL", "help": "Postgres [SAGA_DATABASE_URL]."},
        "--broker-url": {"metavar": "URL", "help": "Redis [SAGA_BROKER_URL]."},
        "--json": {"is_flag": True, "help": "Machine-readable output, errors too, on stdout."},
        "--debug": {"is_flag": True, "help": "Show tracebacks."},
    }
    return [
        click.Option([name], expose_value=False, callback=_remember, **details)
        for name, details in options.items()
    ]


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    found = ctx.ensure_object(Settings)
    names = {"database_url": "database", "broker_url": "broker", "app": "apps"}
    if value and param.name:
        setattr(found, names.get(param.name, param.name), value)


class SagaCommand(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options())


class ListingGroup(click.Group):
    """A family of commands whose `list` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options alone are those of `list`."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class SagaGroup(click.Group):
    """The root. `commands_of` says where each command is: `module:attribute`."""

    def __init__(self, *args: Any, commands_of: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = commands_of
        self.params.extend(shared_options())
        click.version_option(package_name="saga-orchestrator")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        del ctx
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        del ctx
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the names of commands that are not imported yet."""
        name = args[0]
        if name not in self._places and not name.startswith("-"):
            near = difflib.get_close_matches(name, self._places, n=3)
            known = f"did you mean {', '.join(near)}?" if near else f"one of {self._all()}"
            raise click.UsageError(f"There is no command {name!r}: {known}", ctx)
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run and exit: 0, or the code of the failure, which is shown in one way for all."""
        arguments = sys.argv[1:] if args is None else list(args)
        found = Settings()
        del standalone_mode
        try:
            status: Any = super().main(
                arguments,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                obj=found,
                **extra,
            )
        except BrokenPipeError:
            # Whoever read us has gone; Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except _NO_COMMAND as error:
            error.show()
            sys.exit(error.exit_code)
        except (Exception, KeyboardInterrupt) as error:
            if found.debug:
                traceback.print_exc()
            failure = explain(error, found)
            failure.show(as_json=found.json or "--json" in arguments)
            sys.exit(failure.code)
        sys.exit(status if isinstance(status, int) else 0)

    def _all(self) -> str:
        return ", ".join(self._places)
