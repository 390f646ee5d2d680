"""What a user declares: steps, their compensations and probes, and sagas."""

from __future__ import annotations

import functools
import inspect
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, cast, overload

from saga.core import context, failures
from saga.core.codec import encode, parse
from saga.core.declare import outside
from saga.core.declare.calls import Call, remember
from saga.core.declare.made_of import MadeOf
from saga.core.declare.options import (
    checked_flag,
    checked_name,
    checked_names,
    checked_timeout,
    is_task,
    name_of,
    place_of,
    refuse_unknown,
)
from saga.core.declare.retry import Retry, checked_retry
from saga.core.declare.signatures import Parameters
from saga.core.digest import digest_of
from saga.core.intent import Intent
from saga.core.loop import asking
from saga.core.loop.loop import JournalLoop
from saga.errors import DefinitionError

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
T = TypeVar("T")

OnUnknown = Literal["retry", "ask"]
Time = timedelta | None
_VARIES = "(may vary)"
UNDO_RETRY = Retry(max_attempts=10)


class Compensation:
    """The undo of a step: its result first, then the step's parameters by name."""

    def __init__(
        self,
        function: Callable[..., Any],
        step: StepDefinition[..., Any],
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
    ) -> None:
        self.function = function
        self.name = checked_name(name or name_of(function), "compensation")
        self.queue = checked_name(queue or step.queue, "queue")
        self.retry = checked_retry(retry, self.name) or UNDO_RETRY
        self.timeout = checked_timeout(timeout, self.name)
        self.made_of: MadeOf | None = None
        self._has_own_queue = queue is not None
        self.is_async = inspect.iscoroutinefunction(function)
        # Python warns of a coroutine that nobody awaited, by this name and where it was dropped.
        self._called = f"step {self.name}"
        self.step = step
        self._parameters = Parameters(function, self.name)
        self._first, self._others = self._names()

    def arguments(self, result: str | None, args: str) -> dict[str, Any]:
        """The values to undo with, from the step's stored result (None: unknown) and arguments."""
        given = self.step.decode_args(args)
        values = {name: given[name] for name in self._others if name in given}
        values[self._first] = None if result is None else self.step.decode_result(result)
        return values

    def become(self, function: Callable[..., Any], queue: str, retry: Retry, timeout: Time) -> None:
        """What the task that it is made of says, once its app is configured."""
        self.function, self.queue, self.retry, self.timeout = function, queue, retry, timeout
        self._has_own_queue = True
        self.step.attach(self)

    def follow(self, queue: str) -> None:
        """Its step's queue, unless it has its own."""
        if not self._has_own_queue:
            self.queue = queue

    @property
    def admits_none(self) -> bool:
        """Whether it can be called for a step whose outcome stayed unknown."""
        return self._parameters.admits_none(self._first)

    def call(self, values: dict[str, Any]) -> Any:
        """Call the function with `arguments()`; an awaitable if it `is_async`."""
        return self._parameters.call(self.function, values)

    def _names(self) -> tuple[str, tuple[str, ...]]:
        parameters = list(self._parameters.signature.parameters.values())
        open_ended = [p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
        if not parameters or parameters[0] in open_ended:
            raise DefinitionError(
                f"{self.name}: the first parameter of a compensation is the step's result"
            )
        first, *rest = (p for p in parameters if p not in open_ended)
        known = self.step.parameters.names
        for parameter in rest:
            if parameter.name not in known and parameter.default is parameter.empty:
                raise DefinitionError(
                    f"{self.name}: {parameter.name!r} is no parameter of {self.step.name}, "
                    f"which has {', '.join(known) or 'none'}"
                )
        return first.name, tuple(p.name for p in rest if p.name in known)


class StepDefinition(Generic[P, R]):
    """A step: awaited inside a saga it is asked for, awaited elsewhere its function runs once.

    A call has to be awaited even if the function is a `def`; where nothing can be awaited, call
    `.function`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        queue: str = "default",
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        read_only: bool = False,
        pivot: bool = False,
        transactional: bool = False,
        irreversible: bool = False,
        on_unknown: OnUnknown = "retry",
        may_vary: Collection[str] | bool = (),
        place: str | None = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.name = checked_name(name or name_of(function), "step")
        self.queue = checked_name(queue, "queue")
        self.retry = checked_retry(retry, self.name) or Retry()
        self.timeout = checked_timeout(timeout, self.name)
        self.read_only = checked_flag(read_only, f"{self.name}: read_only")
        self.pivot = checked_flag(pivot, f"{self.name}: pivot")
        self.transactional = checked_flag(transactional, f"{self.name}: transactional")
        self.irreversible = checked_flag(irreversible, f"{self.name}: irreversible")
        self.on_unknown: OnUnknown = on_unknown
        self.place = place or place_of(function)
        self.is_async = inspect.iscoroutinefunction(function)
        # Python warns of a coroutine that nobody awaited, by this name and where it was dropped.
        self._called = f"step {self.name}"
        self.parameters = Parameters(function, self.name, namespace)
        self.may_vary = checked_names(may_vary, self.parameters.names, f"{self.name}: may_vary")
        self.prober: Callable[..., Any] | None = None
        self.made_of: MadeOf | None = None
        self.expected: tuple[type[BaseException], ...] = ()
        self.attach(None)
        if on_unknown not in ("retry", "ask"):
            raise DefinitionError(f"{self.name}: on_unknown is 'retry' or 'ask'")
        functools.update_wrapper(self, function, updated=())

    def become(self, function: Callable[..., Any], queue: str, retry: Retry, timeout: Time) -> None:
        """What the task that it is made of says, once its app is configured."""
        self.function, self.queue, self.retry, self.timeout = function, queue, retry, timeout
        if self.undo is not None:
            self.undo.follow(queue)
        self.attach(self.undo)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, None, R]:
        """Inside a saga: ask for the step and wait. Elsewhere: run the function, once. Either way
        StepFailed tells how it failed.
        """
        loop = running_loop()
        if type(loop) is JournalLoop:
            text = self.parameters.encode(args, kwargs)
            intent = self._intent(text, digest=digest_of(self._leave_out(text)))
            call = asking.call(loop, intent, self.decode_result, self._counted)
        else:
            call = self._call_outside(args, kwargs)
        call.__qualname__ = self._called
        return call

    async def _call_outside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        """Its error is the caller's if that is a step, and else what it would be in a saga."""
        self.parameters.bind(args, kwargs)
        in_a_step = context.is_running()
        with context.running(context.outside(self.name)) as ctx:
            try:
                return await outside.called(self.function, args, kwargs)
            except Exception as error:
                if in_a_step:
                    raise
                raise failures.step_failed(self.name, ctx.position, error) from error

    def call(self, values: dict[str, Any]) -> Any:
        """Call the function with `decode_args()`; an awaitable if it `is_async`."""
        return self.parameters.call(self.function, values)

    def decode_args(self, text: str) -> dict[str, Any]:
        """Typed values by parameter name."""
        return self.parameters.decode(text)

    def encode_result(self, value: Any) -> str:
        """The validated result as JSON."""
        return self.parameters.result.encode(value, self.name)

    def decode_result(self, text: str) -> R:
        """The typed result."""
        return self.parameters.result.decode(text, self.name)

    @overload
    def probe(
        self, function: Callable[P, Coroutine[Any, Any, R | None]], /
    ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
    @overload
    def probe(self, function: Callable[P, R | None], /) -> Callable[P, R | None]: ...
    def probe(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Decorator: "did it happen?" Same parameters; returns the result, or None if it did not.

        Asked before any retry or undo of an unknown outcome.
        """
        names = tuple(inspect.signature(function).parameters)
        if names != self.parameters.names:
            raise DefinitionError(
                f"{name_of(function)}: a probe has the parameters of {self.name}: "
                f"({', '.join(self.parameters.names)})"
            )
        self.prober = function
        return function

    def _counted(self, text: str) -> str | None:
        """Stored arguments, as far as a replay is held to them."""
        renewed = self.parameters.renewed(text)
        return renewed and self._leave_out(renewed)

    def _leave_out(self, text: str) -> str:
        if not self.may_vary:
            return text
        values = {
            name: _VARIES if name in self.may_vary else value for name, value in parse(text).items()
        }
        return encode(values, self.name)

    def call_probe(self, values: dict[str, Any]) -> Any:
        """Call the probe with `decode_args()`; an awaitable if it is an `async def`."""
        assert self.prober is not None, f"{self.name} has no probe"
        return self.parameters.call(self.prober, values)

    @overload
    def compensation(
        self, function: Callable[Concatenate[R | None, Q], T], /
    ) -> Callable[Concatenate[R | None, Q], T]: ...
    @overload
    def compensation(
        self,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
    ) -> Callable[
        [Callable[Concatenate[R | None, Q], T]], Callable[Concatenate[R | None, Q], T]
    ]: ...
    def compensation(self, function: Any = None, /, **options: Any) -> Any:
        """Decorator: the undo. Its first parameter is the step's result.

        It is None when the outcome stayed unknown, unless the step has a probe, is `read_only` or
        `transactional`.
        """

        def attach(function: Any) -> Any:
            self.attach(_compensation(function, self, options))
            return function

        return attach if function is None else attach(function)

    def attach(self, undo: Compensation | None) -> None:
        """Its undo, and what is stored with the step."""
        self.undo = undo
        self._intent = functools.partial(
            Intent,
            "step",
            self.name,
            self.queue,
            compensation=undo and undo.name,
            undo_queue=undo and undo.queue,
            pivot=self.pivot,
            read_only=self.read_only,
        )

    def __repr__(self) -> str:
        return f"<step {self.name}>"


class SagaDefinition(Generic[P, R]):
    """A saga: started by a client, a child inside another saga, elsewhere a plain coroutine."""

    def __init__(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        *,
        name: str | None = None,
        version: int = 1,
        queue: str = "sagas",
        place: str | None = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.name = checked_name(name or name_of(function), "saga")
        self.version = version
        self.queue = checked_name(queue, "queue")
        self.place = place or place_of(function)
        self.parameters = Parameters(function, self.name, namespace)
        self._intent = functools.partial(Intent, "child", self.name, self.queue)
        if not inspect.iscoroutinefunction(function):
            raise DefinitionError(f"{self.name}: a saga is an `async def` function")
        if type(version) is not int or not 1 <= version < 2**31:
            raise DefinitionError(f"{self.name}: version is a whole number from 1 on")
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, None, R]:
        """Inside a saga: start it as a child and wait. Elsewhere: the plain coroutine."""
        loop = running_loop()
        if type(loop) is JournalLoop:
            text = self.parameters.encode(args, kwargs)
            child = self._as_child(text)
            intent = self._intent(child, digest=digest_of(child))
            call = asking.call(loop, intent, self.decode_result, self._counted)
            call.__qualname__ = f"saga {self.name}"  # for Python's warning of what nobody awaited
            return call
        coroutine = self.function(*args, **kwargs)
        remember(coroutine, Call(self, args, kwargs))
        return coroutine

    def call(self, values: dict[str, Any]) -> Coroutine[Any, Any, R]:
        """The coroutine, from `decode_input()`."""
        return self.parameters.call(self.function, values)

    def _as_child(self, text: str) -> str:
        return f'{{"version":{self.version},"input":{text}}}'

    def _counted(self, text: str) -> str | None:
        """What a child was started with, as it would be today."""
        child = parse(text)
        if child["version"] != self.version:
            return None
        renewed = self.parameters.renewed(encode(child["input"], self.name))
        return renewed and self._as_child(renewed)

    def encode_input(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The validated input as JSON by parameter name."""
        return self.parameters.encode(args, kwargs)

    def encode_given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The input without what is there by default: what a repeated start has to repeat."""
        return self.parameters.encode_given(args, kwargs)

    def check_input(self, text: str | bytes) -> str:
        """JSON from outside, checked like the arguments of a call."""
        return self.parameters.check(text)

    def decode_input(self, text: str) -> dict[str, Any]:
        """Typed values by parameter name."""
        return self.parameters.decode(text)

    def encode_result(self, value: Any) -> str:
        """The validated result as JSON."""
        return self.parameters.result.encode(value, self.name)

    def decode_result(self, text: str) -> R:
        """The typed result."""
        return self.parameters.result.decode(text, self.name)

    def __repr__(self) -> str:
        return f"<saga {self.name} version {self.version}>"


def _compensation(
    target: Any, step: StepDefinition[..., Any], options: dict[str, Any]
) -> Compensation:
    """From a function, or from a step or a Celery task that keeps its own name."""
    refuse_unknown(options, _KEPT, f"{step.name}: a compensation")
    if isinstance(target, StepDefinition):
        step_target = cast("StepDefinition[..., Any]", target)
        kept: dict[str, Any] = {key: getattr(step_target, key) for key in _KEPT}
        made = Compensation(step_target.function, step, **(kept | options))
        if step_target.made_of is not None:
            made.made_of = step_target.made_of.with_options(options)
        return made
    if is_task(target):
        named: dict[str, Any] = {"name": target.name}
        made = Compensation(target.run, step, **(named | options))
        made.made_of = MadeOf.of(target, options)
        return made
    return Compensation(target, step, **options)


_KEPT = ("name", "queue", "retry", "timeout")
