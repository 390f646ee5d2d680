"""Outside a saga everything is a plain function: a saga is unit-tested with asyncio.run()."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from saga.core.answering import answering
from saga.core.context import StepContext, current, idempotency_key, running
from saga.core.declare.decorators import saga, step
from saga.core.loop.inline import without_threads
from saga.core.loop.scopes import scope
from saga.core.verbs import Decision, approval, expose, in_saga, now, random, signal, uuid
from saga.errors import (
    DefinitionError,
    InvalidCall,
    InvalidInput,
    NotDeterministic,
    OutsideSaga,
    OutsideStep,
    StepFailed,
)
from saga.testing import World


def test_a_saga_runs_without_infrastructure() -> None:
    done: list[str] = []

    @step
    def create(name: str) -> str:
        done.append(current().idempotency_key)
        return f"ticket of {name}"

    @step
    async def send(text: str) -> None:
        await asyncio.sleep(0)
        done.append(text)

    @saga
    async def inner(name: str) -> str:
        return name.upper()

    @saga
    async def resolve(name: str) -> str:
        async with scope():
            ticket = await create(await inner(name))
            await asyncio.gather(send(ticket), send("bye"))
        expose({"ticket": ticket})
        assert now() - datetime.now(UTC) < timedelta(seconds=1)
        assert isinstance(uuid(), UUID)
        assert 0 <= random().random() < 1
        return ticket

    assert asyncio.run(resolve("ann")) == "ticket of ANN"
    key, *rest = done
    assert key.endswith(":1")
    assert rest == ["ticket of ANN", "bye"]


def test_a_def_step_where_nothing_can_be_awaited() -> None:
    @step
    def create(name: str) -> str:
        return f"ticket of {name}"

    assert asyncio.run(create("ann")) == create.function("ann") == "ticket of ann"


def test_a_wrong_call_is_the_same_error_as_inside() -> None:
    @step
    def create(name: str) -> None: ...

    with pytest.raises(InvalidCall, match="create: missing a required argument: 'name'"):
        asyncio.run(create())  # pyright: ignore[reportCallIssue, reportUnknownArgumentType]


def test_approvals_and_signals_need_answers() -> None:
    @saga
    async def resolve() -> list[Any]:
        decision = await approval("refund")
        return [decision.approved, await signal("paid"), await signal("paid")]

    with pytest.raises(OutsideSaga, match=r"approval\('refund'\) needs a running saga.*answering"):
        asyncio.run(resolve())
    with answering(refund=True, paid=iter([1, 2])):
        assert asyncio.run(resolve()) == [True, 1, 2]
    with answering(refund=Decision(False, reason="no")), answering(paid=3):
        assert asyncio.run(resolve()) == [False, 3, 3]
    with answering(refund=True, paid=TimeoutError()), pytest.raises(TimeoutError):
        asyncio.run(resolve())
    with answering(refund="yes"), pytest.raises(InvalidInput, match="True, False or a Decision"):
        asyncio.run(resolve())
    with pytest.raises(OutsideSaga):
        asyncio.run(resolve())


def test_answers_have_the_types_that_the_engine_gives() -> None:
    class Paid(BaseModel):
        amount: int
        on: date = date(2026, 1, 1)

    given = [Paid(amount=3), {"amount": 3, "on": "2026-01-01"}, {"amount": "3"}]
    for answer in given:
        with answering(paid=answer):
            assert asyncio.run(signal("paid", Paid)) == Paid(amount=3)
    with answering(paid={"sum": 3}), pytest.raises(InvalidInput, match="signal paid: amount"):
        asyncio.run(signal("paid", Paid))
    with answering(paid=(1, 2)):
        assert asyncio.run(signal("paid")) == [1, 2]
        assert asyncio.run(signal("paid", tuple[int, int])) == (1, 2)
    with answering(paid=object()), pytest.raises(InvalidInput, match="signal paid"):
        asyncio.run(signal("paid"))
    with answering(refund={"approved": True, "reason": "fine"}):
        decision = asyncio.run(approval("refund"))
        assert (type(decision), decision.approved, decision.reason) == (Decision, True, "fine")
    with answering(refund={"by": "ann"}), pytest.raises(InvalidInput, match="approval: approved"):
        asyncio.run(approval("refund"))


@pytest.mark.parametrize(
    ("timeout", "why"),
    [
        (30, "timeout is a timedelta, like"),
        (timedelta.max, "timeout is at most a thousand years"),
        (timedelta.min, "timeout is at most a thousand years"),
    ],
)
def test_times_that_nothing_can_wait(timeout: Any, why: str) -> None:
    with answering(refund=True, paid=1):
        with pytest.raises(DefinitionError, match=f"approval refund: {why}"):
            asyncio.run(approval("refund", timeout=timeout))
        with pytest.raises(DefinitionError, match=f"signal paid: {why}"):
            asyncio.run(signal("paid", timeout=timeout))


def test_details_are_a_mapping() -> None:
    details: Any = ["amount", 3]
    with pytest.raises(DefinitionError, match="approval refund: details are a mapping"):
        asyncio.run(approval("refund", details))


def test_answers_that_run_out() -> None:
    @saga
    async def resolve() -> None:
        await signal("paid")
        await signal("paid")

    with (
        answering(paid=iter([1])),
        pytest.raises(OutsideSaga, match=r"signal\('paid'\) has no answer left"),
    ):
        asyncio.run(resolve())


def test_what_is_exposed_is_checked() -> None:
    with pytest.raises(InvalidInput, match="expose: amount: NaN is not JSON"):
        expose({"amount": float("nan")})


def test_current_is_for_steps() -> None:
    with pytest.raises(OutsideStep):
        current()

    @saga
    async def resolve() -> None:
        current()

    with pytest.raises(OutsideStep):
        asyncio.run(resolve())


def test_a_step_called_by_a_step_has_a_key_of_its_own() -> None:
    @step
    def inner() -> str:
        return current().idempotency_key

    context = StepContext(UUID(int=1), 4, 2, idempotency_key(UUID(int=1), 4), "saga", "outer")
    with running(context):
        assert current() is context
        assert asyncio.run(inner()) == f"{UUID(int=1)}:4/inner"
    assert idempotency_key(UUID(int=1), 4, undo=True) == f"{UUID(int=1)}:4:undo"


def test_a_failing_step_is_the_same_error_as_inside() -> None:
    """And scopes go on the same way; a step that calls another gets what that raised."""

    @step
    def charge(cents: int) -> None:
        raise ValueError("declined")

    @step
    async def soon() -> None:
        raise TimeoutError

    @step
    async def both() -> None:
        await charge(3)

    @saga
    async def order() -> list[str]:
        seen: list[str] = []
        for call in (charge(3), soon()):
            try:
                async with scope():
                    await call
            except StepFailed as failed:
                seen += [failed.step, failed.type, failed.message]
        return seen

    assert asyncio.run(order()) == ["charge", "ValueError", "declined", "soon", "TimeoutError", ""]
    with pytest.raises(StepFailed, match=r"both .* failed: ValueError: declined") as raised:
        asyncio.run(both())
    assert isinstance(raised.value.__cause__, ValueError)


def test_where_a_sagas_code_runs() -> None:
    @step
    async def here() -> bool:
        return in_saga()

    @saga
    async def body() -> tuple[bool, bool]:
        return in_saga(), await here()

    assert not in_saga()
    assert asyncio.run(body()) == (False, False)
    with World() as world:
        assert world.run(body()) == (True, False)


def test_what_a_library_gives_to_a_thread() -> None:
    def failing() -> None:
        raise ValueError("as in a thread")

    def reading() -> None:
        open(__file__)  # noqa: PTH123, SIM115 - as a user may write it

    @saga
    async def body() -> tuple[int, bool, bool]:
        with without_threads():
            here = await asyncio.to_thread(threading.get_ident)
            later = asyncio.create_task(asyncio.to_thread(in_saga))
            with pytest.raises(ValueError, match="as in a thread"):
                await asyncio.to_thread(failing)
            with pytest.raises(NotDeterministic, match="put it in a step"):
                await asyncio.to_thread(reading)
        with pytest.raises(NotDeterministic, match="put it in a step"):
            await asyncio.to_thread(in_saga)
        return here, here == threading.get_ident(), await later

    with World() as world:
        assert world.run(body())[1:] == (True, True)
    with without_threads():
        assert asyncio.run(asyncio.to_thread(threading.get_ident)) != threading.get_ident()
