"""Finding a saga by what a person types: its id or the beginning of it."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Connection, Integer, cast, column, func, select

from saga.errors import InvalidInput, SagaNotFound
from saga.models import definition, saga

_SHORTEST = 4
_DIGITS = 32


def find_saga(connection: Connection, text: str) -> UUID:
    """The id of the one saga whose id is `text` or begins with it.

    Raises InvalidInput for what cannot be an id or fits several, SagaNotFound.
    """
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST},{_DIGITS}}}", digits):
        raise InvalidInput(
            f"{text[:60]!r} is not the id of a saga: a UUID, or {_SHORTEST} or more first digits"
        )
    first, last = (UUID(digits.ljust(_DIGITS, fill)) for fill in "0f")
    query = select(saga.c.id).where(saga.c.id.between(first, last)).order_by(saga.c.id).limit(4)
    found = list(connection.execute(query).scalars())
    if not found:
        raise SagaNotFound(f"there is no saga {text.strip()}: `saga list` shows those that exist")
    if len(found) > 1:
        some = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
        raise InvalidInput(f"several sagas begin with {text.strip()}: {some}")
    return found[0]


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
