"""When to try a step again: a value and two pure functions of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from saga.core.declare.options import checked_time
from saga.errors import DefinitionError, Permanent, Unknown

Verdict = Literal["retry", "fail", "unknown"]
Exceptions = tuple[type[BaseException], ...]


class TryAgain(Exception):
    """What a Celery task says with `self.retry()`: another attempt, after so many seconds. `cause`
    is what went wrong.
    """

    def __init__(self, cause: BaseException, retry_after: float) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast a step is tried again, and which errors count as what.

    The first delay is `first`, each further one `factor` times longer, up to `maximum`; then each
    is made longer or shorter by chance, by the share `jitter` at most, the longest ones, too. A
    single class of errors may stand for a tuple of one. An error is `unknown_on` before it is
    `give_up_on` before it is `retry_on`; one that is none of them fails the step.

    An attempt whose worker is lost (killed, out of memory, paused beyond its lease) is none of
    `max_attempts`: it is made again at once. But `max_losses` workers lost in a row end the step
    too, as `WorkerLost`, so that one that kills its process does not go on with that.
    """

    max_attempts: int = 5
    max_losses: int = field(default=3, kw_only=True)
    first: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    maximum: timedelta = timedelta(minutes=5)
    jitter: float = 0.2
    retry_on: Exceptions = (Exception,)
    give_up_on: Exceptions = ()
    unknown_on: Exceptions = (
        TimeoutError,
        ConnectionResetError,
        ConnectionAbortedError,
        BrokenPipeError,
        EOFError,
    )

    def __post_init__(self) -> None:
        for name in ("retry_on", "give_up_on", "unknown_on"):
            object.__setattr__(self, name, _classes(getattr(self, name), f"Retry: {name}"))
        for name in ("first", "maximum"):
            checked_time(getattr(self, name), f"Retry: {name}")
        for name, of_type, wanted in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, of_type):
                raise DefinitionError(f"Retry: {name} is {wanted}, not {value!r}")
        wrong = (
            (not 1 <= self.max_attempts < 2**31, "max_attempts must be 1 or more"),
            (not 1 <= self.max_losses < 2**31, "max_losses must be 1 or more"),
            (self.first < timedelta(0), "first must not be negative"),
            (self.maximum < timedelta(0), "maximum must not be negative"),
            (not 1.0 <= self.factor < float("inf"), "factor must be 1 or more"),
            (not 0.0 <= self.jitter <= 1.0, "jitter must be between 0 and 1"),
        )
        for is_wrong, text in wrong:
            if is_wrong:
                raise DefinitionError(f"Retry: {text}")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after attempt number `attempt` (1 or more); `chance` is in [0, 1)."""
        limit = self.maximum.total_seconds()
        try:
            wanted = self.first.total_seconds() * self.factor ** (max(attempt, 1) - 1)
        except OverflowError:
            wanted = limit
        return min(wanted, limit) * (1.0 + self.jitter * (2.0 * chance - 1.0))

    def classify(self, exc: BaseException) -> Verdict:
        """What an exception of the step means, whatever the number of attempts so far."""
        if isinstance(exc, TryAgain):
            return "unknown" if self.classify(exc.cause) == "unknown" else "retry"
        if isinstance(exc, (Unknown, *self.unknown_on)):
            return "unknown"
        if isinstance(exc, (Permanent, *self.give_up_on)):
            return "fail"
        return "retry" if isinstance(exc, self.retry_on) else "fail"

    def goes_on(self, exc: BaseException, tries: int) -> bool:
        """Whether there is an attempt after number `tries`, which ended with `exc`."""
        return self.classify(exc) != "fail" and tries < self.max_attempts

    def is_used_up(self, tries: int, in_doubt: bool) -> bool:
        """Whether attempt number `tries` is one too many; `in_doubt`: nobody knows how the last one
        ended.
        """
        del in_doubt
        return tries > self.max_attempts

    @property
    def asks_the_probe_last(self) -> bool:
        """Whether the probe is asked once more when the last attempt has ended unknown."""
        return True

    def pause(self, exc: BaseException | None, attempt: int, chance: float) -> float:
        """Like `delay`, but an exception's own `retry_after` (seconds) comes first.

        A value that is no number of seconds is ignored, and none beyond an hour (or `maximum`, if
        that is longer) is believed.
        """
        if isinstance(exc, TryAgain):
            return exc.retry_after
        try:
            wanted = getattr(exc, "retry_after", None)
        except Exception:  # a property of the user's
            wanted = None
        if isinstance(wanted, (int, float)) and 0 <= wanted < float("inf"):
            return min(float(wanted), max(self.maximum.total_seconds(), 3600.0))
        return self.delay(attempt, chance)


@dataclass(frozen=True, slots=True)
class TaskRetry(Retry):
    """Of a step that is a Celery task: the task says by TryAgain whether there is another attempt,
    however many there were. What else it raises is final, unless `others` are tried again as the
    fields of Retry say. They also say how often an attempt is made again of whose end nobody knows.
    `asks`: a probe, or a person, is asked about an outcome that is unknown.
    """

    others: bool = field(default=False, kw_only=True)
    asks: bool = field(default=False, kw_only=True)

    def goes_on(self, exc: BaseException, tries: int) -> bool:
        return isinstance(exc, TryAgain) or (self.others and Retry.goes_on(self, exc, tries))

    def is_used_up(self, tries: int, in_doubt: bool) -> bool:
        return in_doubt and tries > self.max_attempts

    @property
    def asks_the_probe_last(self) -> bool:
        return self.others or self.asks


def checked_retry(retry: Retry | None, name: str) -> Retry | None:
    """The Retry of a declaration."""
    if retry is None or isinstance(retry, Retry):  # pyright: ignore[reportUnnecessaryIsInstance]
        return retry
    raise DefinitionError(f"{name}: retry is a Retry, like Retry(max_attempts=3), not {retry!r}")


_NUMBERS: tuple[tuple[str, Any, str], ...] = (
    ("max_attempts", int, "a whole number"),
    ("max_losses", int, "a whole number"),
    ("factor", (int, float), "a number"),
    ("jitter", (int, float), "a number"),
)


def _classes(given: Any, field: str) -> Exceptions:
    """A class, or several, as a tuple."""
    several: tuple[Any, ...] = (given,)
    if isinstance(given, (tuple, list)):
        several = tuple(cast("tuple[Any, ...]", given))
    for each in several:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise DefinitionError(
                f"{field} is a tuple of exception classes, like (ValueError,), not {given!r}"
            )
    return several
