"""A key means the same input, whoever starts the saga, and after a deploy."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from saga import Client, KeyConflict, saga
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.registry import registry
from saga.storage.announcements import announce


class Line(BaseModel):
    item: str
    count: int = 1


class NewLine(BaseModel):
    item: str
    count: int = 1
    gift: bool = False


def first(version: int = 1) -> SagaDefinition[..., Any]:
    async def order(line: Line, lines: list[Line] | None = None, x: str = "a") -> None: ...

    return _made(order, version, line=Line, lines=list[Line] | None)


def second(version: int = 1) -> SagaDefinition[..., Any]:
    async def order(
        line: NewLine, lines: list[NewLine] | None = None, x: str = "a", wrap: bool = False
    ) -> None: ...

    return _made(order, version, line=NewLine, lines=list[NewLine] | None)


def third(version: int = 2) -> SagaDefinition[..., Any]:
    async def order(line: Line, lines: list[Line] | None = None, x: str = "b") -> None: ...

    return _made(order, version, line=Line, lines=list[Line] | None)


def _made(function: Any, version: int, **hints: Any) -> SagaDefinition[..., Any]:
    function.__annotations__.update(hints)
    with registry.sandbox():
        return saga(version=version)(function)


def deploy(connection: psycopg.Connection, made: SagaDefinition[..., Any]) -> None:
    schema = json.dumps(made.parameters.json_schema())

    def execute(sql: Any, parameters: Any) -> list[tuple[Any, ...]]:
        return connection.execute(sql, parameters).fetchall()

    announce(execute, [(made.name, made.version, made.queue, schema)])


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        deploy(connection, first())
        yield connection


Start = Callable[..., UUID]
LINE = {"item": "lamp"}


@pytest.fixture
def ways(sql: psycopg.Connection, database_url: str) -> Iterator[dict[str, Start]]:
    """By the definition, by name (as HTTP and Celery do), and in SQL."""
    client = Client(database_url)

    def by_definition(made: Any, **given: Any) -> UUID:
        return client.start(made, key="k", **given).id

    def by_name(_: Any, **given: Any) -> UUID:
        return client.start("order", key="k", **given).id

    def in_sql(_: Any, **given: Any) -> UUID:
        row = sql.execute("SELECT saga.start('order', %s, 'k')", [Jsonb(given)]).fetchone()
        assert row is not None
        return row[0]

    yield {"definition": by_definition, "name": by_name, "sql": in_sql}
    client.close()


WAYS = ("definition", "name", "sql")


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("other", WAYS)
@pytest.mark.parametrize("more", [{}, {"x": "a"}, {"lines": None}], ids=str)
def test_a_default_that_was_left_out(
    ways: dict[str, Start], one: str, other: str, more: dict[str, Any]
) -> None:
    begun = ways[one](first(), line=LINE)
    assert ways[other](first(), line={**LINE, "count": 1}, **more) == begun
    with pytest.raises((KeyConflict, psycopg.Error), match="another input"):
        ways[other](first(), line=LINE, x="b")
    with pytest.raises((KeyConflict, psycopg.Error), match="another input"):
        ways[other](first(), line=LINE, lines=[])


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("other", WAYS)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("announced", [True, False])
def test_an_optional_parameter_more(
    ways: dict[str, Start],
    sql: psycopg.Connection,
    one: str,
    other: str,
    version: int,
    announced: bool,
) -> None:
    """The web process may be deployed before the workers are, or after them."""
    begun = ways[one](first(), line=LINE, lines=[LINE, LINE])
    if announced:
        deploy(sql, second(version))
    assert ways[other](second(version), line=LINE, lines=[LINE, LINE]) == begun
    if announced:
        gift = {**LINE, "gift": True}
        with pytest.raises((KeyConflict, psycopg.Error), match="another input"):
            ways[other](second(version), line=LINE, lines=[LINE, gift])


@pytest.mark.parametrize("one", WAYS)
def test_another_default(ways: dict[str, Start], sql: psycopg.Connection, one: str) -> None:
    """What is repeated is what was given."""
    begun = ways[one](first(), line=LINE)
    deploy(sql, third())
    assert ways[one](third(), line=LINE) == begun
    with pytest.raises((KeyConflict, psycopg.Error), match="another input"):
        ways[one](third(), line={"item": "chair"})


def test_an_instance_says_what_it_was_made_of(ways: dict[str, Start]) -> None:
    """Also before the workers know of what it has gained."""
    begun = ways["definition"](first(), line=Line(item="lamp"))
    assert ways["definition"](second(), line=NewLine(item="lamp")) == begun
    with pytest.raises(KeyConflict):
        ways["definition"](second(), line=NewLine(item="lamp", gift=True))


def test_what_was_stored_before_there_was_a_digest(
    ways: dict[str, Start], sql: psycopg.Connection
) -> None:
    begun = ways["definition"](first(), line=LINE)
    sql.execute("UPDATE saga.saga SET given = NULL")
    assert ways["sql"](first(), line=LINE) == begun
    with pytest.raises(psycopg.Error, match="another input"):
        ways["sql"](first(), line={"item": "chair"})
