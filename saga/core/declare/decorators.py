"""`@step` and `@saga`: a function becomes a definition and is registered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

from saga.core.declare.definitions import OnUnknown, SagaDefinition, StepDefinition
from saga.core.declare.made_of import MadeOf
from saga.core.declare.options import (
    caller_types,
    is_task,
    place_of,
    refuse_unknown,
)
from saga.core.declare.registry import registry
from saga.core.declare.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class StepOptions(TypedDict, total=False):
    """What `@step(...)` takes; see there."""

    name: str | None
    queue: str | None
    retry: Retry | None
    timeout: timedelta | None
    read_only: bool
    pivot: bool
    transactional: bool
    irreversible: bool
    on_unknown: OnUnknown
    may_vary: Collection[str] | bool
    compensation: Any


_STEP_OPTIONS = tuple(StepOptions.__annotations__)
_SAGA_OPTIONS = ("name", "version", "queue")


class TaskLike(Protocol[P, R_co]):
    """A Celery task, or whatever else has its `name` and `run`."""

    name: str

    @property
    def run(self) -> Callable[P, R_co]: ...


class StepDecorator(Protocol):
    """What `@step(...)` with options returns."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> StepDefinition[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> StepDefinition[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


class SagaDecorator(Protocol):
    """What `@saga(...)` with options returns."""

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> SagaDefinition[P, R]: ...


@overload
def step(**options: Unpack[StepOptions]) -> StepDecorator: ...
@overload
def step(
    function: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[StepOptions]
) -> StepDefinition[P, R]: ...
@overload
def step(task: TaskLike[P, R], /, **options: Unpack[StepOptions]) -> StepDefinition[P, R]: ...
@overload
def step(function: Callable[P, R], /, **options: Unpack[StepOptions]) -> StepDefinition[P, R]: ...
def step(target: Any = None, /, **options: Any) -> Any:
    """Make a function (`def` or `async def`), or an existing Celery task, a step.

    Options: `name` (default: the function's), `queue`, `retry`, `timeout` (of one attempt),
    `read_only` (no effect, so nothing to undo), `pivot` (past it the saga only goes forward),
    `transactional` (it commits through `current().connection`), `irreversible` (it cannot be
    undone, and that is known: no warning), `on_unknown` (`"retry"` with the same idempotency key,
    or `"ask"` a person), `may_vary` (parameters whose arguments may be others in a replay, which
    else parks the saga; True: all), `compensation` (a function, a step or a Celery task; see also
    `@the_step.compensation`). A Celery task stays as it is, and says what is not said here: `name`,
    `queue` (as the app routes it), `retry`, `timeout`; see docs/from-celery.md.
    """
    namespace = caller_types(1)
    refuse_unknown(options, _STEP_OPTIONS, "a step")

    def define(target: Any) -> StepDefinition[..., Any]:
        return _define_step(target, dict(options), namespace)

    return define if target is None else define(target)


@overload
def saga(*, name: str | None = None, version: int = 1, queue: str = "sagas") -> SagaDecorator: ...
@overload
def saga(function: Callable[P, Coroutine[Any, Any, R]], /) -> SagaDefinition[P, R]: ...
def saga(function: Any = None, /, **options: Any) -> Any:
    """Make an `async def` function a saga.

    Options: `name` (default: the function's), `version` (raise it when running sagas could not
    follow the new code), `queue` (where it is advanced when no worker at hand holds its code).
    """
    namespace = caller_types(1)

    refuse_unknown(options, _SAGA_OPTIONS, "a saga")

    def define(function: Any) -> SagaDefinition[..., Any]:
        made: SagaDefinition[..., Any] = SagaDefinition(function, namespace=namespace, **options)
        registry.add_saga(made)
        return made

    return define if function is None else define(function)


def _define_step(target: Any, options: dict[str, Any], namespace: Any) -> StepDefinition[..., Any]:
    compensation = options.pop("compensation", None)
    function, place, made_of = target, None, None
    options = {name: value for name, value in options.items() if value is not None}
    if is_task(target):
        function, place = target.run, place_of(target.run)
        made_of = MadeOf.of(target, options)
        options.setdefault("name", target.name)
        options.setdefault("queue", getattr(target, "queue", None) or "default")
    made: StepDefinition[..., Any] = StepDefinition(
        function, namespace=namespace, place=place, **options
    )
    made.made_of = made_of
    if compensation is not None:
        made.compensation(compensation)
    registry.add_step(made)
    return made
