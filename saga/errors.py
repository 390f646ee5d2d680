"""Every exception that this package raises on purpose.

::

    SagaError
    ├── DefinitionError            a step or a saga is declared in a way that cannot work
    ├── InvalidInput               a value is refused at the edge (also a ValueError)
    │   └── InvalidCall            the arguments do not fit the signature (also a TypeError)
    ├── UnknownName                a name that nothing here defines (also a LookupError)
    │   ├── UnknownSaga
    │   └── UnknownStep
    ├── NotDeterministic           real input or output inside a saga: it belongs in a step
    ├── Divergence                 the code no longer fits the history; `.diff` shows where
    ├── StepFailed                 what `await some_step(...)` raises inside a saga
    ├── OutsideSaga                approval() or signal() called where no saga runs
    ├── OutsideStep                current() called where no step runs
    ├── Unknown                    raised by a step: it cannot tell whether its effect happened
    ├── Permanent                  raised by a step: do not retry
    ├── WorkerLost                 the error of a step at which one worker after the other was lost
    ├── SagaNotFound               no saga has this id (also a LookupError)
    ├── SagaEnded                  a signal, an approval or a cancel for a saga that is over
    ├── SagaFailed                 what `Handle.result()` raises; `.status`, `.error`
    ├── KeyConflict                the same key was used for another input
    ├── Conflict                   somebody else decided first
    ├── SchemaOutdated             the database needs `saga migrate`
    └── Unavailable                Postgres or the broker did not answer in time

    DefinitionWarning              a declaration that will probably surprise (a UserWarning)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class SagaError(Exception):
    """The base of every error of this package."""


class DefinitionError(SagaError):
    """A step or a saga is declared in a way that cannot work."""


class DefinitionWarning(UserWarning):
    """A declaration works but will probably surprise: see `saga.core.declare.checks.check`."""


class InvalidInput(SagaError, ValueError):
    """A value that cannot be stored or does not have the declared type.

    The text starts with the path of the field, and never holds the value itself.
    """


class InvalidCall(InvalidInput, TypeError):
    """The arguments of a call do not fit the signature of the step or saga."""


class UnknownName(SagaError, LookupError):
    """A name that nothing in this process defines."""

    kind: ClassVar[str] = "name"

    def __init__(self, name: str, known: Iterable[str] = (), detail: str = "") -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(detail or self._text())

    def _text(self) -> str:
        near = difflib.get_close_matches(self.name, self.known, n=3)
        if near:
            return f"no {self.kind} is named {self.name!r}; did you mean {', '.join(near)}?"
        if self.known:
            some = ", ".join(self.known[:10])
            return f"no {self.kind} is named {self.name!r}; this process knows {some}"
        return f"no {self.kind} is named {self.name!r}; this process knows none: name your module"


class UnknownSaga(UnknownName):
    """No saga of this name (or of this version) is defined in this process."""

    kind = "saga"


class UnknownStep(UnknownName):
    """No step of this name is defined in this process."""

    kind = "step"


class NotDeterministic(SagaError):
    """Real input or output, a thread or an endless turn inside a saga: put it in a step."""


class Divergence(SagaError):
    """The code asked for something else than the history holds.

    `.diff` has one line a position, the history on the left and the code on the right;
    `.arguments` tells how the arguments at them differ, if these do.
    """

    def __init__(self, diff: str, arguments: str = "") -> None:
        super().__init__(diff)
        self.diff = diff
        self.arguments = arguments


class StepFailed(SagaError):
    """A step (or a child saga) that a saga waited for has failed for good.

    `.step` its name, `.position` its place in the saga, `.type` and `.message` those of the
    exception it ended with, `.details` whatever more was recorded: `at`, the line of your code that
    raised it, as `shop.py:31 in charge`.
    """

    def __init__(
        self,
        step: str,
        type_: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        position: int = 0,
    ) -> None:
        super().__init__(step, type_, message, details, position)
        self.step = step
        self.type = type_
        self.message = message
        self.details: Mapping[str, Any] = dict(details or {})
        self.position = position

    def __str__(self) -> str:
        return f"{self.step} (position {self.position}) failed: {self.type}: {self.message}"


class OutsideSaga(SagaError):
    """A verb that needs a running saga was called elsewhere."""


class OutsideStep(SagaError, LookupError):
    """`current()` was called where no step runs."""


class Unknown(SagaError):
    """Raised by a step that cannot tell whether its effect happened.

    The engine asks the step's probe; without one it tries again with the same idempotency key,
    or holds the step for a person if the step says `on_unknown="ask"`.
    """


class Permanent(SagaError):
    """Raised by a step: it failed, and trying again is useless."""


class WorkerLost(SagaError):
    """The error of a step at which `Retry.max_losses` workers were lost, one after the other.

    Nobody raises it: it is stored, and its name is the `.type` of the StepFailed.
    """


class SagaNotFound(SagaError, LookupError):
    """No saga has this id."""


class SagaEnded(SagaError):
    """The saga is over: it takes no more signals, approvals or cancels."""


class SagaFailed(SagaError):
    """The saga ended without a result. `.status` is its final status, `.error` the first cause."""

    def __init__(self, message: str, status: str, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, status, error)
        self.message = message
        self.status = status
        self.error: Mapping[str, Any] = dict(error or {})

    def __str__(self) -> str:
        return self.message


class KeyConflict(SagaError):
    """A saga with this key exists and was started with another input."""


class Conflict(SagaError):
    """Somebody else decided first; nothing was changed."""


class Unavailable(SagaError):
    """Postgres or the broker did not answer in time, or Postgres cannot do it: its text says why.
    Nothing is known to have been changed.
    """


class SchemaOutdated(SagaError):
    """The database's schema is not the one of this release: run `saga migrate`."""
