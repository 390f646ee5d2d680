"""What a test puts in the place of the code of steps, compensations and probes."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from saga.core import context
from saga.core.declare.definitions import Compensation, StepDefinition
from saga.core.declare.registry import Registry
from saga.core.declare.retry import Retry
from saga.engine.attempt.catalog import Catalog
from saga.errors import InvalidInput

Function = Callable[..., Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """The first `times` attempts of each call end with `error` (None: all); `happens`: after the
    code has run.
    """

    error: BaseException
    times: int | None
    happens: bool


class StandIns:
    """By the function that they stand for."""

    def __init__(self) -> None:
        self._functions: dict[Function, Function] = {}
        self._troubles: dict[Function, Trouble] = {}
        self._attempts: Counter[tuple[Function, str]] = Counter()
        self.version = 0
        """Goes up with each."""

    def replace(self, function: Function, stand_in: Function) -> None:
        """Has `stand_in` called in its place."""
        self._functions[function] = stand_in
        self.version += 1

    def trouble(self, function: Function, trouble: Trouble) -> None:
        """Has it go wrong."""
        self._troubles[function] = trouble
        self.version += 1

    def forget_attempts(self) -> None:
        """A new run begins."""
        self._attempts.clear()

    def of(self, function: Function) -> Function:
        """What is called in a function's place."""
        real = self._functions.get(function, function)
        trouble = self._troubles.get(function)
        return real if trouble is None else self._troubled(function, real, trouble)

    def _troubled(self, function: Function, real: Function, trouble: Trouble) -> Function:
        def call(*args: Any, **kwargs: Any) -> Any:
            key = function, context.current().idempotency_key
            self._attempts[key] += 1
            if trouble.times is not None and self._attempts[key] > trouble.times:
                return real(*args, **kwargs)
            result = real(*args, **kwargs) if trouble.happens else None
            if inspect.iscoroutine(result):
                return _then_raise(result, trouble.error)
            raise trouble.error.with_traceback(None)  # it grows with each raise

        return call


async def _then_raise(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> None:
    await coroutine
    raise error.with_traceback(None)


class StandInCatalog(Catalog):
    """A registry's code, with what stands in for it. Its retries come without chance."""

    def __init__(self, registry: Registry, stand_ins: StandIns) -> None:
        super().__init__(registry)
        self._stand_ins = stand_ins
        self._known: dict[tuple[str, str], tuple[int, Any]] = {}

    def step(self, name: str) -> StepDefinition[..., Any]:
        return self._made(
            ("step", name), lambda: self._step(super(StandInCatalog, self).step(name))
        )

    def undo(self, name: str) -> Compensation:
        return self._made(
            ("undo", name), lambda: self._undo(super(StandInCatalog, self).undo(name))
        )

    def _made(self, key: tuple[str, str], make: Callable[[], T]) -> T:
        version, made = self._known.get(key, (-1, None))
        if version != self._stand_ins.version:
            made = make()
            self._known[key] = self._stand_ins.version, made
        return cast("T", made)

    def _step(self, step: StepDefinition[..., Any]) -> StepDefinition[..., Any]:
        made = copy.copy(step)
        made.function = self._stand_ins.of(step.function)
        made.prober = step.prober and self._stand_ins.of(step.prober)
        made.retry = _exact(step.retry)
        return made

    def _undo(self, undo: Compensation) -> Compensation:
        made = copy.copy(undo)
        made.function = self._stand_ins.of(undo.function)
        made.step = self.step(undo.step.name)
        made.retry = _exact(undo.retry)
        return made

    def function_of(self, target: Any) -> Function:
        """What runs for a step, a compensation or a probe of this registry, or for a step or a
        compensation of this name; InvalidInput else.
        """
        is_step = isinstance(target, StepDefinition)
        wanted: Any = cast("Any", target).function if is_step else target
        steps = self._registry.steps()
        if isinstance(target, str):
            named = [*steps, *self._undos.values()]
            wanted = next((one.function for one in named if one.name == target), None)
        known = [step.function for step in steps] + [undo.function for undo in self._undos.values()]
        if wanted is None or wanted not in [*known, *(step.prober for step in steps)]:
            raise InvalidInput(f"{target!r} is no step, compensation or probe of this world")
        return cast("Function", wanted)


def _exact(retry: Retry) -> Retry:
    return replace(retry, jitter=0.0)
