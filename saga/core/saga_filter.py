"""Which sagas: one grammar for the command line, the HTTP API and clients."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from saga.core.codec import check_text, encode, parse
from saga.core.moments import parse_since
from saga.core.states import SagaStatus, StepState
from saga.errors import InvalidInput

_COMPARISON = re.compile(r"([^=<>]+)(>=|<=|=|>|<)(.*)", re.DOTALL)
_LONGEST_AGO = timedelta(days=365_000)

WAITS: dict[str, tuple[str | None, StepState]] = {
    "approval": ("approval", StepState.WAITING),
    "signal": ("signal", StepState.WAITING),
    "timer": ("timer", StepState.WAITING),
    "child": ("child", StepState.WAITING),
    "worker": (None, StepState.READY),
    "retry": (None, StepState.RETRYING),
    "unknown": (None, StepState.UNKNOWN),
    "person": (None, StepState.BLOCKED),
}
"""What a saga can wait for: the kind of the step (None: any), and its state."""


class Comparison(NamedTuple):
    """An attribute that is equal to a value, or within a range: `amount >= 10`."""

    name: str
    operator: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> "Comparison":
        """`name=value`, or one of `>`, `>=`, `<`, `<=`. A value that is JSON is what it says, any
        other is text. Raises InvalidInput.
        """
        found = _COMPARISON.fullmatch(text)
        if found is None:
            raise InvalidInput("attribute: want name=value, or name>=value for a range")
        name, operator, value = found[1].strip(), found[2], found[3].strip()
        return cls(name, operator, json_or_text(value)).checked()

    def checked(self) -> "Comparison":
        """Itself. Raises InvalidInput for what cannot be compared."""
        encode({self.name: self.value}, "attribute")
        is_text = isinstance(self.value, str)
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if self.operator != "=" and not (is_text or is_number):
            raise InvalidInput("attribute: a range is one of numbers, or of texts")
        return self


class Wait(NamedTuple):
    """What a saga waits for. `kind` None: an approval, a signal or a child of that name."""

    kind: str | None
    name: str | None

    @classmethod
    def parse(cls, text: str) -> "Wait":
        """`approval`, `signal`, `timer`, `child`, `worker`, `retry`, `unknown` or `person`;
        `approval:refund`; or a name alone. Raises InvalidInput.
        """
        kind, colon, name = text.partition(":")
        if kind in WAITS:
            return cls(kind, name or None)
        if not text:
            raise InvalidInput(f"waits_for: {', '.join(WAITS)}, or a name")
        return cls(None, f"{kind}{colon}{name}")


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas; all that is given must hold. Times and attributes may be given as people write
    them.

    `since` and `until`: started at or after, and before, a time or so long ago (`2h`, `1d`);
    `older_than`: started longer ago than that. `attributes`: values, or comparisons such as
    `"amount>=10"`. `step`: it stands at this step, or failed at it. `error`: a part of the text of
    its error, or of that of a step that is tried again or blocked, in whatever case; `*` stands for
    anything. `waits_for`: `approval`, `signal`, `timer`, `child`, `worker`, `retry`, `unknown` (its
    outcome), `person` (blocked), one of these with a name (`approval:refund`), or a name alone.
    `roots`: only those that no other saga has started.
    """

    name: str | None = None
    statuses: Sequence[str] = ()
    since: datetime | timedelta | str | None = None
    version: int | None = None
    attributes: Mapping[str, Any] | Sequence[str] = ()
    key: str | None = None
    until: datetime | timedelta | str | None = None
    older_than: timedelta | str | None = None
    step: str | None = None
    error: str | None = None
    waits_for: str | None = None
    roots: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "statuses", tuple(self.statuses))
        if not isinstance(self.attributes, Mapping):
            object.__setattr__(self, "attributes", tuple(self.attributes))

    @property
    def is_empty(self) -> bool:
        """Whether it lets all sagas through."""
        return self == SagaFilter()

    def of(self, statuses: Sequence[str]) -> "SagaFilter":
        """The same, with these statuses if it has none."""
        return self if self.statuses else replace(self, statuses=tuple(statuses))

    def check(self) -> None:
        """Raises InvalidInput, which begins with the field's name."""
        for status in self.statuses:
            checked_status(status)
        moment_of(self.since, "since")
        moment_of(self.until, "until")
        self.age()
        self.comparisons()
        if self.waits_for is not None:
            Wait.parse(self.waits_for)
        for field in ("name", "key", "step", "error", "waits_for"):
            encode(getattr(self, field), field)

    def comparisons(self) -> list[Comparison]:
        """Of attributes. Raises InvalidInput."""
        if isinstance(self.attributes, Mapping):
            pairs = self.attributes.items()
            return [Comparison(name, "=", value).checked() for name, value in pairs]
        return [Comparison.parse(text) for text in self.attributes]

    def age(self) -> timedelta | None:
        """How old it is at least. Raises InvalidInput."""
        found = moment_of(self.older_than, "older_than")
        if found is None or isinstance(found, timedelta):
            return found
        raise InvalidInput("older_than: a duration like 30m, 2h or 1d; for a time, take until")


def moment_of(value: datetime | timedelta | str | None, field: str) -> datetime | timedelta | None:
    """Raises InvalidInput."""
    try:
        found = parse_since(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidInput(f"{field}: {error}") from None
    if isinstance(found, datetime) and found.tzinfo is None:
        raise InvalidInput(f"{field}: a time with its zone")
    if isinstance(found, timedelta) and found > _LONGEST_AGO:
        raise InvalidInput(f"{field}: longer ago than a thousand years")
    return found


def checked_status(text: str) -> str:
    """A status of a saga. Raises InvalidInput."""
    try:
        return SagaStatus(text).value
    except ValueError:
        known = ", ".join(SagaStatus)
        raise InvalidInput(f"status: one of {known}, not {text!r}") from None


def json_or_text(text: str) -> Any:
    """The JSON value that a text is, or else the text."""
    try:
        return parse(check_text(text, "value"))
    except InvalidInput:
        return text
