"""Types of arguments and options."""

import getpass
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saga.core import codec
from saga.core.moments import parse_since
from saga.core.saga_filter import json_or_text
from saga.core.states import SagaStatus
from saga.errors import InvalidInput
from saga.storage.queries import GROUPS

# Generic in click 8.5 only.
if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class JsonType(_ParamType):
    """A JSON value: literally, from a file as `@file.json`, or from standard input as `-`."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses what cannot be stored, and says where it is wrong."""
        field = param.opts[0] if param else "JSON"
        try:
            return codec.parse(codec.check_text(self._read(value), field))
        except OSError as error:
            raise click.UsageError(
                f"{field}: cannot read the file {value[1:]!r}: {error.strerror}; want JSON itself, "
                "@FILE, or - for standard input",
                ctx,
            ) from None
        except InvalidInput as error:
            quotes = "; a text needs quotes, like '\"text\"'" if _is_bare(value) else ""
            raise click.UsageError(f"{error}{quotes}", ctx) from None

    @staticmethod
    def _read(value: str) -> str | bytes:
        if value == "-":
            return sys.stdin.buffer.read()
        return Path(value[1:]).read_bytes() if value.startswith("@") else value


def _is_bare(text: str) -> bool:
    return text[:1].isalpha() and text not in ("true", "false", "null")


class SinceType(_ParamType):
    """How long ago, or when."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """See `parse_since`."""
        try:
            return parse_since(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class AttributeType(_ParamType):
    """`name=value`; the value is JSON if it can be, else text."""

    name = "attribute"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """A name and a value."""
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return name, json_or_text(text)


class QueuesType(_ParamType):
    """Names of queues, parted by commas."""

    name = "queues"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """In the order given, each once."""
        names = [name.strip() for name in value.split(",")]
        if not all(names):
            self.fail(f"{value!r}: names parted by commas, like email,payments", param, ctx)
        return list(dict.fromkeys(names))


class GroupingType(_ParamType):
    """What sagas are counted by, parted by commas."""

    name = "grouping"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """In the order given."""
        names = [name.strip() for name in value.split(",")]
        if not set(names) <= set(GROUPS) or len(set(names)) < len(names):
            self.fail(f"{value!r}: each of {', '.join(GROUPS)} once at most", param, ctx)
        return names


class AutoscaleType(_ParamType):
    """The most and the fewest slots, as for Celery: `10,2`; `10` alone is `10,1`."""

    name = "autoscale"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The most, the fewest."""
        most, _, fewest = value.partition(",")
        try:
            found = int(most), int(fewest or 1)
        except ValueError:
            self.fail(f"{value!r}: want MAX,MIN, like 10,2", param, ctx)
        if not 1 <= found[1] <= found[0]:
            self.fail(f"{value!r}: want MAX,MIN with 1 <= MIN <= MAX, like 10,2", param, ctx)
        return found


AUTOSCALE = AutoscaleType()
JSON = JsonType()
SINCE = SinceType()
ATTRIBUTE = AttributeType()
QUEUES = QueuesType()
GROUPING = GroupingType()
REASON = "Say why, for the records."
STATUS = click.Choice([status.value for status in SagaStatus])

saga_id = click.argument("saga_id", metavar="ID")  # or a beginning of it, or the key
limit = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Rows a page."
)
cursor = click.option("--cursor", metavar="CURSOR", help="Go on where a page has ended.")
by = click.option("--by", metavar="WHO", help="Who decides; by default your account's name.")


def needed(option: str, given: str | None, why: str) -> str:
    """The value of an option that only some uses of a command need; refused as click refuses."""
    if not given:
        context = click.get_current_context()
        raise click.MissingParameter(why, context, param_hint=f"'{option}'", param_type="option")
    return given


def actor(given: str | None) -> str:
    """Who acts, for the records."""
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
