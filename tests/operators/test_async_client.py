"""The client of an event loop does what the other does, against real servers and a worker."""

import asyncio
import inspect
import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from saga import (
    AsyncClient,
    AsyncHandle,
    AsyncOperator,
    Client,
    Conflict,
    Handle,
    InvalidInput,
    KeyConflict,
    Operator,
    SagaFilter,
    SagaNotFound,
    StartRequest,
)
from saga.storage.migrate import sqlalchemy_url
from tests.operators.code import sagas
from tests.operators.stage import Stage

WITHOUT_WAITING = {"handle", "operator"}


def methods(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [(Client, AsyncClient), (Handle, AsyncHandle), (Operator, AsyncOperator)],
    ids=lambda kind: kind.__name__,
)
def test_both_have_the_same_methods(one: type, other: type) -> None:
    mine, theirs = methods(one), methods(other)
    assert mine.keys() == theirs.keys()
    for name, method in mine.items():
        given, taken = inspect.signature(method), inspect.signature(theirs[name])
        assert [(p.name, p.kind, p.default) for p in given.parameters.values()] == [
            (p.name, p.kind, p.default) for p in taken.parameters.values()
        ], name
        assert inspect.iscoroutinefunction(theirs[name]) is (name not in WITHOUT_WAITING), name
        assert theirs[name].__doc__


def client(stage: Stage, *, broker: bool = True) -> AsyncClient:
    arena = stage.arena
    return AsyncClient(arena.database_url, arena.broker_url if broker else None)


def test_a_whole_life(stage: Stage) -> None:
    stage.arena.ready(stage.worker())

    async def live() -> None:
        async with client(stage) as talking:
            begun = await asyncio.gather(
                *(
                    talking.start(sagas.labelled, n, key=f"{n}", attributes={"n": n})
                    for n in range(20)
                )
            )
            again = await talking.start(sagas.labelled, 3, key="3")
            assert (again.id, again.is_new) == (begun[3].id, False)
            with pytest.raises(KeyConflict):
                await talking.start(sagas.labelled, 4, key="3")
            await asyncio.gather(*(handle.signal("go") for handle in begun))
            await asyncio.gather(*(handle.result(60) for handle in begun))
            page = await talking.list(SagaFilter(attributes=["n>=18"]))
            assert {row.id for row in page.rows} == {begun[19].id, begun[18].id}
            assert await talking.count(SagaFilter(name="labelled")) == 20
            assert [(kind.by, kind.count) for kind in await talking.stats()] == [
                (("completed",), 20)
            ]
            shown = await talking.show("7")
            assert (await talking.why("7")).id == shown.id
            assert (shown.id, shown.attributes["stage"]) == (begun[7].id, "shipped")
            assert (await talking.history(shown.id))[0].after == "running"
            assert (await talking.find("labelled", "7")).id == shown.id
            await decide(talking)

    async def decide(talking: AsyncClient) -> None:
        (asked,) = await talking.start_many([StartRequest("choices", {"amounts": [5]}, "c")])
        while await talking.count(SagaFilter(waits_for="approval")) == 0:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.02)
        assert await talking.approve(asked.id, "pay", by="ann") == 1
        with pytest.raises(Conflict):
            await asked.reject("pay", by="bob")
        assert await asked.result(60) == [True]
        order = await talking.start(sagas.order, key="o")
        await order.result(60)
        ann = talking.operator("ann")
        assert len((await ann.preview(order.id)).undos) == 3
        await ann.compensate(order.id, reason="a mistake")
        while await order.status() != "compensated":  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.02)
        with pytest.raises(Conflict):
            await ann.retry(order.id)
        with pytest.raises(SagaNotFound):
            await talking.show("nobody")

    asyncio.run(live())


def test_who_waits_holds_no_thread(stage: Stage) -> None:
    """A hundred results are waited for; whoever gives up leaves the client as it was."""

    async def wait() -> None:
        async with client(stage) as talking:
            handles = [await talking.start(sagas.waiting_leg, key=f"{n}") for n in range(100)]
            before = threading.active_count()
            waiting = [asyncio.ensure_future(handle.result(60)) for handle in handles]
            awaited = "SELECT count(*) FROM saga.saga WHERE awaited"
            while stage.arena.records.query(awaited)[0][0] < 100:  # noqa: ASYNC110 - it is elsewhere
                await asyncio.sleep(0.02)
            assert threading.active_count() <= before
            for task in waiting:
                task.cancel()
            gone = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(one) for one in gone} == {asyncio.CancelledError}
            with pytest.raises(TimeoutError):
                await handles[0].result(0.05)
            assert await talking.count() == 100

    asyncio.run(wait())


def test_in_the_transaction_of_the_caller(stage: Stage) -> None:
    url = stage.arena.database_url

    async def start() -> None:
        async with client(stage, broker=False) as talking:
            async with await psycopg.AsyncConnection.connect(url) as connection:
                dropped = await talking.start(sagas.waiting_leg, connection=connection)
                await connection.rollback()
                kept = await talking.start(sagas.waiting_leg, connection=connection)
                await connection.commit()
                await kept.signal("go", connection=connection)
            engine = create_async_engine(sqlalchemy_url(url))
            async with AsyncSession(engine) as session:
                await session.execute(text("SELECT 1"))
                third = await talking.start(sagas.waiting_leg, connection=session)
                await session.commit()
            await engine.dispose()
            assert await talking.count() == 2
            assert [await one.status() for one in (kept, third)] == ["running"] * 2
            with pytest.raises(SagaNotFound):
                await dropped.status()
            with pytest.raises(InvalidInput, match=r"a psycopg\.AsyncConnection"):
                await talking.start(sagas.waiting_leg, connection=object())

    asyncio.run(start())
