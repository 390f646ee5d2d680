"""Declaring steps and sagas: names, options, compensations, probes, and what is refused."""

from __future__ import annotations

import asyncio
import warnings
from datetime import timedelta
from typing import Any, assert_type

import pytest

from saga.core.declare.checks import check, warn
from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import StepDefinition
from saga.core.declare.registry import registry
from saga.core.declare.retry import Retry
from saga.errors import (
    DefinitionError,
    DefinitionWarning,
    InvalidInput,
    UnknownSaga,
    UnknownStep,
)


class Task:
    """What a step sees of a Celery task."""

    def __init__(self, name: str, run: Any) -> None:
        self.name = name
        self.run = run


def test_defaults() -> None:
    @step
    def fetch(customer: str) -> int:
        """Doc."""
        return len(customer)

    assert (fetch.name, fetch.queue, fetch.retry, fetch.timeout) == (
        "fetch",
        "default",
        Retry(),
        None,
    )
    assert not any([fetch.read_only, fetch.pivot, fetch.transactional, fetch.is_async])
    assert fetch.on_unknown == "retry"
    assert fetch.__doc__ == "Doc."
    assert registry.step("fetch") is fetch
    assert registry.steps() == (fetch,)

    @saga
    async def resolve(text: str) -> str:
        return text

    assert (resolve.name, resolve.version, resolve.queue) == ("resolve", 1, "sagas")
    assert registry.saga("resolve") is resolve


def test_options() -> None:
    @step(name="other", queue="crm", retry=Retry(max_attempts=8), timeout=timedelta(seconds=20))
    async def fetch() -> None: ...

    assert (fetch.name, fetch.queue, fetch.retry.max_attempts) == ("other", "crm", 8)
    assert fetch.timeout == timedelta(seconds=20)
    assert fetch.is_async


def test_a_second_one_of_the_same_name_names_both_places() -> None:
    @step
    def fetch() -> None: ...

    with pytest.raises(DefinitionError) as caught:

        @step(name="fetch")
        def other() -> None: ...  # pyright: ignore[reportUnusedFunction]

    text = str(caught.value)
    assert fetch.place in text
    assert text.count("test_definitions.py:") == 2
    assert "give one of them name=" in text


def test_the_same_place_may_be_imported_twice() -> None:
    def define() -> StepDefinition[[], None]:
        @step
        def fetch() -> None: ...

        return fetch

    first, second = define(), define()
    assert registry.step("fetch") is second is not first


def test_versions() -> None:
    def body(version: int) -> Any:
        @saga(name="resolve", version=version)
        async def resolve() -> int:
            return version

        return resolve

    old, new = body(1), body(12)
    assert registry.saga("resolve") is new
    assert registry.saga("resolve", 1) is old
    assert registry.sagas() == (old, new)
    with pytest.raises(UnknownSaga, match="has no version 3 here; this process knows 1, 12"):
        registry.saga("resolve", 3)


def test_unknown_names_list_near_ones() -> None:
    @step
    def create_ticket() -> None: ...  # pyright: ignore[reportUnusedFunction]

    with pytest.raises(UnknownStep, match="'creat_ticket'; did you mean create_ticket"):
        registry.step("creat_ticket")
    with pytest.raises(UnknownStep, match="this process knows create_ticket"):
        registry.step("zzz")
    with pytest.raises(UnknownSaga, match="name your module"):
        registry.saga("resolve")


def test_a_compensation_takes_the_result_and_parameters_by_name() -> None:
    @step(queue="tickets")
    def create(customer: str, text: str, count: int = 1) -> int:
        raise NotImplementedError

    @create.compensation
    def close(ticket: int | None, text: str, extra: str = "none") -> tuple[Any, ...]:
        return ticket, text, extra

    undo = create.undo
    assert undo is not None
    assert (undo.name, undo.queue, undo.retry.max_attempts) == ("close", "tickets", 10)
    args = create.parameters.encode(("ann", "broken"), {})
    assert undo.call(undo.arguments("7", args)) == (7, "broken", "none")
    assert undo.call(undo.arguments(None, args)) == (None, "broken", "none")
    assert close(1, "x") == (1, "x", "none")


def test_a_compensation_with_options_and_of_all_parameters() -> None:
    @step
    def create(customer: str) -> int:
        raise NotImplementedError

    @create.compensation(queue="q", retry=Retry(max_attempts=2), timeout=timedelta(1), name="n")
    async def close(ticket: int | None, **all_of_them: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
        return ticket, all_of_them

    undo = create.undo
    assert undo is not None
    assert (undo.name, undo.queue, undo.retry.max_attempts) == ("n", "q", 2)
    assert undo.is_async
    assert undo.timeout == timedelta(days=1)


def _of_a_wrong_name(result: int | None, custmer: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: None, "the first parameter of a compensation is the step's result"),
        (_of_a_wrong_name, "'custmer' is no parameter of create, which has customer"),
    ],
)
def test_refused_compensations(function: Any, why: str) -> None:
    @step
    def create(customer: str) -> int:
        raise NotImplementedError

    with pytest.raises(DefinitionError, match=why):
        create.compensation(function)


def test_a_probe_has_the_same_parameters() -> None:
    @step
    def create(customer: str) -> int:
        raise NotImplementedError

    @create.probe
    def find(customer: str) -> int | None:
        return len(customer)

    assert create.prober is find
    assert create.call_probe({"customer": "ann"}) == 3

    def wrong(name: str) -> int | None: ...

    with pytest.raises(DefinitionError, match=r"has the parameters of create: \(customer\)"):
        create.probe(wrong)  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_an_existing_task_is_a_step_and_stays_as_it_is() -> None:
    class Bound:
        calls = 0

        def run(self, customer: str, times: int = 2) -> str:
            self.calls += 1
            return customer * times

    def close(result: str | None, customer: str) -> str:
        return f"closed {result} of {customer}"

    bound = Bound()
    task, other = Task("shop.create", bound.run), Task("shop.close", close)
    create = step(task, compensation=other, read_only=False)
    assert (create.name, create.queue) == ("shop.create", "default")
    text = create.parameters.encode(("ann",), {})
    assert text == '{"customer":"ann","times":2}'
    assert create.call(create.decode_args(text)) == "annann"
    assert bound.calls == 1
    undo = create.undo
    assert undo is not None
    assert undo.name == "shop.close"
    assert undo.call(undo.arguments('"t"', text)) == "closed t of ann"
    assert vars(task).keys() == {"name", "run"}
    assert step(Task("shop.other", close), name="mine", queue="q").name == "mine"


def test_real_celery_tasks() -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery("shop", set_as_current=False, broker="memory://")

    @app.task(name="shop.create")
    def create(customer: str) -> str:
        return f"ticket of {customer}"

    @app.task(name="shop.close", bind=True)
    def close(self: Any, ticket: str | None, customer: str) -> list[Any]:
        return [self.name, ticket, customer]

    made = step(create, compensation=close)
    text = made.parameters.encode(("ann",), {})
    assert (made.name, text) == ("shop.create", '{"customer":"ann"}')
    assert made.call(made.decode_args(text)) == "ticket of ann"
    undo = made.undo
    assert undo is not None
    assert undo.call(undo.arguments('"t"', text)) == ["shop.close", "t", "ann"]
    assert create("bob") == "ticket of bob"
    assert asyncio.run(made("eve")) == "ticket of eve"


def test_a_step_may_compensate_another() -> None:
    @step(queue="q", retry=Retry(max_attempts=3))
    def close(result: int | None) -> None: ...

    @step(compensation=close)
    def create() -> int:
        raise NotImplementedError

    undo = create.undo
    assert undo is not None
    assert (undo.name, undo.queue, undo.retry.max_attempts) == ("close", "q", 3)


@pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 201, "\u202e"])
def test_names_that_would_not_fit(name: str) -> None:
    def work() -> None: ...

    with pytest.raises(DefinitionError, match="1 to 200 printable"):
        StepDefinition(work, name=name or "\x00")


def test_refused_options() -> None:
    def work() -> None: ...

    with pytest.raises(DefinitionError, match="on_unknown is 'retry' or 'ask'"):
        StepDefinition(work, on_unknown="maybe")  # pyright: ignore[reportArgumentType]
    with pytest.raises(DefinitionError, match="timeout must be positive"):
        StepDefinition(work, timeout=timedelta(0))
    with pytest.raises(DefinitionError, match="version is a whole number"):
        saga(version=0)(_async_body)
    with pytest.raises(DefinitionError, match="a saga is an `async def`"):
        saga(work)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(DefinitionError, match="has no name of its own"):
        StepDefinition(Task("x", work))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"timeout": 30}, "pay: timeout is a timedelta, like timedelta"),
        ({"timeout": timedelta.max}, "pay: timeout is at most a thousand years"),
        ({"retry": 3}, "pay: retry is a Retry, like Retry"),
        ({"retries": 3}, "a step has no option 'retries'; did you mean retry"),
        ({"place": "x"}, "a step has no option 'place'"),
        ({"namespace": {}}, "a step has no option 'namespace'"),
        ({"read_only": "no"}, "pay: read_only is True or False"),
        ({"queue": 5}, "5: the name of a queue"),
        ({"name": 5}, "5: the name of a step"),
    ],
)
def test_options_of_a_wrong_kind(options: dict[str, Any], why: str) -> None:
    def pay() -> None: ...

    with pytest.raises(DefinitionError, match=why):
        step(**options)(pay)


def test_options_that_others_have_not() -> None:
    @step
    def pay() -> None: ...

    def refund(paid: None) -> None: ...

    undo: Any = pay.compensation
    with pytest.raises(DefinitionError, match="pay: a compensation has no option 'retries'"):
        undo(retries=3)(refund)
    with pytest.raises(DefinitionError, match="refund: retry is a Retry"):
        undo(retry=3)(refund)
    declare: Any = saga
    with pytest.raises(DefinitionError, match="a saga has no option 'timeout'; it has name,"):
        declare(timeout=timedelta(1))(_async_body)


async def _async_body() -> None: ...


def test_checks_are_warnings() -> None:
    @step
    def careless() -> None: ...

    @step(read_only=True)
    def look() -> None: ...

    @step(pivot=True)
    def jump() -> None: ...

    @step
    def undoable() -> None: ...

    @undoable.compensation
    def undo(result: None) -> None: ...  # pyright: ignore[reportUnusedFunction]

    assert check(look) == check(jump) == check(undoable) == []
    assert "it has an effect and no compensation" in check(careless)[0]
    with pytest.warns(DefinitionWarning, match="step careless") as told:
        warn(registry.steps())
    assert f"{told[0].filename}:{told[0].lineno}" == careless.place  # it points at the step
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DefinitionWarning)
        warn(registry.steps())
    look.compensation(undo)
    assert "never have anything to undo" in check(look)[0]


def test_check_builds_the_types() -> None:
    @step
    def strange(x: Any) -> None: ...

    strange.function.__annotations__["x"] = Task
    with pytest.raises(DefinitionError, match="strange: the type hints cannot become JSON"):
        check(strange)


def test_types_for_type_checkers() -> None:
    @step
    def plain(number: int) -> str:
        return str(number)

    @step(queue="q")
    async def other(number: int) -> list[str]:
        return [str(number)]

    @saga(version=2)
    async def body(number: int) -> int:
        assert_type(await plain(number), str)
        assert_type(await other(number), list[str])
        both = await asyncio.gather(plain(1), other(2))
        assert_type(both, tuple[str, list[str]])
        return number

    async def main() -> None:
        assert_type(await body(1), int)

    asyncio.run(main())
    with pytest.raises(InvalidInput):
        plain.parameters.encode(("x",), {})
