"""`saga callbacks`: what was not delivered, why, and making it again."""

from collections.abc import Callable, Generator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, create_engine, text

from saga.storage.migrate import sqlalchemy_url
from saga.storage.queries import Cursor
from saga.storage.queries.callbacks import UNDELIVERED, CallbackFilter, matching
from tests.cli.commands import Done, run
from tests.engine.test_callbacks import World
from tests.live.processes import until
from tests.live.receiver import receiving, status

Ask = Callable[..., Done]
GONE = "the answer's status is 410"


@pytest.fixture
def world(database_url: str) -> Generator[World]:
    made = World(database_url)
    sweeper = made.sweeper()
    yield made
    sweeper.stop()
    made.close()


@pytest.fixture
def ask(database_url: str) -> Ask:
    return lambda *arguments: run("callbacks", *arguments, SAGA_DATABASE_URL=database_url)


def state(world: World, saga_id: Any) -> str:
    query = "SELECT state FROM saga.delivery WHERE saga_id = %s"
    return world.sql.execute(query, (saga_id,)).fetchall()[0][0]


def test_one_that_was_given_up_is_made_again(world: World, ask: Ask) -> None:
    assert ask().stdout == "No callbacks.\n"
    with receiving(status(410), status(204)) as receiver:
        lost = world.start(receiver.url)
        world.end(lost, "completed", result=1)
        until(lambda: state(world, lost) == "given_up", "the receiver refused it")
        taken = world.start(receiver.url)
        world.end(taken, "failed")
        until(lambda: state(world, taken) == "delivered", "the receiver took it")

        (row,) = ask("--json").json["callbacks"]
        assert (row["saga_id"], row["saga_name"], row["state"]) == (str(lost), "order", "given_up")
        assert (row["response"], row["error"], row["attempts"]) == (410, GONE, 1)
        (delivered,) = ask("list", "--state", "delivered", "--json").json["callbacks"]
        assert (delivered["saga_id"], delivered["status"]) == (str(taken), "failed")
        assert ask(str(lost)[:8]).code == 2, "which command?"
        assert ask("list", str(taken)[:8], "--json").json["callbacks"] == [delivered]
        shown = ask().stdout
        assert f"{lost}  order completed  given_up         1" in shown
        assert GONE in shown

        again = ask("retry", row["id"], "--by", "ann")
        assert (again.code, again.stdout) == (0, "it is made again: see `saga callbacks`\n")
        until(lambda: state(world, lost) == "delivered", "it is taken now")
        assert ask("--json").json == {"callbacks": [], "next": None}
        assert [r.id for r in receiver.received].count(row["id"]) == 2
    audited = "SELECT actor, action, saga_id, details FROM saga.audit WHERE action LIKE '%callback'"
    assert world.sql.execute(audited).fetchall() == [
        ("ann", "retry callback", lost, {"id": row["id"]})
    ]


def test_what_is_not_there_changes_nothing(world: World, ask: Ask) -> None:
    with receiving(status(410)) as receiver:
        lost = world.start(receiver.url)
        world.end(lost, "completed")
        until(lambda: state(world, lost) == "given_up", "the receiver refused it")
        (row,) = ask("--json").json["callbacks"]
        done = ask("retry", row["id"], str(uuid4()), "--json")
        assert (done.code, done.error["type"]) == (1, "SagaNotFound")
        assert state(world, lost) == "given_up", "all or none"
    assert ask("retry", "one").code == 2
    assert ask("retry").code == 2
    assert ask("--state", "lost").code == 2
    assert ask("list", "0" * 32, "--json").error["type"] == "SagaNotFound"


@pytest.fixture
def many(database_url: str) -> Generator[Connection]:
    """A database with 30,000 callbacks, of which three were not delivered."""
    engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("""
WITH made AS (
  INSERT INTO saga.saga (id, name, version, queue, input)
  SELECT gen_random_uuid(), 'order', 1, 'sagas', '{}' FROM generate_series(1, 30000) RETURNING id
)
INSERT INTO saga.delivery (id, saga_id, seq, status, url, state, settled_at, created_at)
SELECT gen_random_uuid(), id, 1, 'completed', 'https://example.com/',
       CASE WHEN row_number() OVER () <= 3 THEN 'given_up' ELSE 'delivered' END, now(),
       now() - random() * interval '1 day'
  FROM made
""")
        )
        connection.execute(text("ANALYZE saga.delivery, saga.saga"))
        yield connection
    engine.dispose()


def test_each_page_is_the_end_of_an_index(many: Connection, ask: Ask) -> None:
    first = ask("--limit", "2", "--json").json
    rest = ask("--limit", "2", "--cursor", first["next"], "--json").json
    assert (len(first["callbacks"]), len(rest["callbacks"]), rest["next"]) == (2, 1, None)
    after = Cursor.parse(first["next"])
    for states, index in [
        (UNDELIVERED, "delivery_open_idx"),
        (("given_up",), "delivery_open_idx"),
        ((), "delivery_created_at_idx"),
        (("delivered",), "delivery_created_at_idx"),
    ]:
        query = matching(CallbackFilter(states=states), after).limit(20)
        shown = query.compile(many, compile_kwargs={"literal_binds": True})
        plan = "\n".join(many.execute(text(f"EXPLAIN {shown}")).scalars())
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan or index == "delivery_open_idx", "of a few rows at most"
