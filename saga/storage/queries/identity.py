"""Finding a saga by what a person types: its id or the beginning of it, or its key."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Connection, Integer, cast, column, func, select

from saga.core.saga_filter import SagaFilter
from saga.errors import InvalidInput, SagaNotFound
from saga.models import definition, saga
from saga.storage.queries.filtering import conditions

_SHORTEST = 4
_DIGITS = 32


def find_saga(connection: Connection, text: str) -> UUID:
    """The id of the one saga whose id is `text` or begins with it, or that was started with that
    key.

    Raises InvalidInput for what fits several, SagaNotFound.
    """
    given = text.strip()
    digits = given.lower().replace("-", "")
    if re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", digits):
        exact = select(saga.c.id).where(saga.c.id == UUID(digits))
        if found := connection.execute(exact).scalar():
            return found
    rows = _begin_with(connection, digits) + _with_key(connection, text)
    if not rows:
        raise SagaNotFound(
            f"no saga has the id or the key {given[:60]!r}: `saga list` shows those that exist"
        )
    if len(rows) > 1:
        some = ", ".join(f"{name} {saga_id}" for saga_id, name in rows[:3])
        more = ", ..." if len(rows) > 3 else ""
        raise InvalidInput(
            f"several sagas have {given[:60]!r} as key or first digits: {some}{more}"
        )
    return rows[0][0]


def _begin_with(connection: Connection, digits: str) -> list[tuple[UUID, str]]:
    if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST},{_DIGITS}}}", digits):
        return []
    first, last = (UUID(digits.ljust(_DIGITS, fill)) for fill in "0f")
    query = select(saga.c.id, saga.c.name).where(saga.c.id.between(first, last))
    return [(row[0], row[1]) for row in connection.execute(query.order_by(saga.c.id).limit(4))]


def _with_key(connection: Connection, key: str) -> list[tuple[UUID, str]]:
    try:
        wanted = conditions(SagaFilter(key=key))
    except InvalidInput:  # no text that Postgres holds
        return []
    query = select(saga.c.id, saga.c.name).where(*wanted).order_by(saga.c.name)
    return [(row[0], row[1]) for row in connection.execute(query.limit(4))]


def known_sagas(connection: Connection) -> list[tuple[str, int]]:
    """Names and versions that workers have announced."""
    query = select(definition.c.name, definition.c.version).order_by(
        definition.c.name, definition.c.version
    )
    return [(name, version) for name, version in connection.execute(query)]


def announced_input(connection: Connection, name: str, version: int | None) -> Any:
    """The JSON Schema of a saga's input (version None: of what a start by name gets); None if
    nobody announced it.
    """
    found = func.saga.definition_of(name, cast(version, Integer))
    query = select(column("input_schema", JSON)).select_from(found.table_valued("input_schema"))
    return connection.execute(query).scalar()
