"""Bearer tokens of the HTTP API: found by their hashes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from saga.errors import Conflict
from saga.storage.starts import Executor

_FIND = """
SELECT id, name, role FROM saga.token
 WHERE hash = %(hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
_CREATE = """
WITH made AS (
  INSERT INTO saga.token (name, role, hash, hint, created_by, expires_at)
  VALUES (%(name)s, %(role)s, %(hash)s, %(hint)s, %(by)s, now() + %(lifetime)s::interval)
  RETURNING expires_at
), audited AS (
  INSERT INTO saga.audit (actor, action, details)
  SELECT %(by)s, 'create token', jsonb_build_object('name', %(name)s::text, 'role', %(role)s::text)
    FROM made
)
SELECT expires_at FROM made
"""
_REVOKE = """
WITH gone AS (
  UPDATE saga.token SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL
  RETURNING name
), audited AS (
  INSERT INTO saga.audit (actor, action, details)
  SELECT %(by)s, 'revoke token', jsonb_build_object('name', name) FROM gone
)
SELECT name FROM gone
"""
_LIST = """
SELECT name, role, hint, created_by, created_at, expires_at, revoked_at FROM saga.token
 WHERE %(all)s OR revoked_at IS NULL ORDER BY created_at, id
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is, and what they may do."""

    id: int
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as a list shows it. `hint`: how the token itself begins."""

    name: str
    role: str
    hint: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def find(execute: Executor, hash_: bytes) -> Holder | None:
    """The holder of a token that is neither revoked nor expired."""
    rows = execute(_FIND, {"hash": hash_})
    return Holder(*rows[0]) if rows else None


def create(
    execute: Executor,
    name: str,
    role: str,
    hash_: bytes,
    hint: str,
    by: str,
    lifetime: timedelta | None,
) -> datetime | None:
    """Keeps a new token; when it expires. Raises Conflict if one of that name is in use."""
    parameters = {"name": name, "role": role, "hash": hash_, "hint": hint, "by": by}
    try:
        return execute(_CREATE, {**parameters, "lifetime": lifetime})[0][0]
    except psycopg.errors.UniqueViolation:
        raise Conflict(f"there is a token named {name!r}: revoke it, or choose a name") from None


def revoke(execute: Executor, name: str, by: str) -> bool:
    """Ends a token at once; False if none of that name is in use."""
    return bool(execute(_REVOKE, {"name": name, "by": by}))


def list_tokens(execute: Executor, revoked: bool) -> list[TokenRow]:
    """Those in use, oldest first, and with `revoked` also those that are not any more."""
    return [TokenRow(*row) for row in execute(_LIST, {"all": revoked})]
