"""What workers announce: the sagas whose code they have, and the steps that they know."""

from collections.abc import Sequence
from typing import Any

from saga.core.states import SagaStatus, sql
from saga.storage.horizon import HORIZON
from saga.storage.starts import Executor

_SCHEMA = "SELECT input_schema FROM saga.definition_of(%(name)s::text, %(version)s::int)"


def announced_input(execute: Executor, name: str, version: int | None) -> Any:
    """The JSON Schema of what a saga takes (version None: the newest); None: not announced."""
    rows = execute(_SCHEMA, {"name": name, "version": version})
    return rows[0][0] if rows else None


_ANNOUNCE = """
INSERT INTO saga.definition (name, version, queue, input_schema)
SELECT * FROM unnest(%(name)s::text[], %(version)s::int[], %(queue)s::text[], %(schema)s::jsonb[])
ON CONFLICT (name, version) DO UPDATE
  SET queue = excluded.queue, input_schema = excluded.input_schema, seen_at = now()
RETURNING 1
"""


# A parked saga is due within half a minute at all times, which finds it in the index.
_UNPARK = f"""
UPDATE saga.saga SET due_at = now(), wakes = -1
 WHERE id IN (SELECT s.id FROM saga.saga s
                JOIN unnest(%(name)s::text[], %(version)s::int[]) AS a(name, version)
                  ON a.name = s.name AND a.version = s.version
               WHERE s.status = {sql(SagaStatus.PARKED)} AND s.due_at < now() + {HORIZON}
               ORDER BY s.id FOR UPDATE OF s SKIP LOCKED)
RETURNING 1
"""


_STAY_ANNOUNCED = """
UPDATE saga.definition d SET seen_at = now()
  FROM (SELECT name, version FROM saga.definition
          JOIN unnest(%(name)s::text[], %(version)s::int[]) AS a(name, version) USING (name, version)
         WHERE seen_at < now() - interval '3 seconds' FOR UPDATE OF definition SKIP LOCKED) AS stale
 WHERE d.name = stale.name AND d.version = stale.version
RETURNING 1
"""


_WITHDRAW = """
UPDATE saga.definition d SET seen_at = now() - interval '1 minute'
  FROM (SELECT name, version FROM saga.definition
          JOIN unnest(%(name)s::text[], %(version)s::int[]) AS a(name, version) USING (name, version)
         FOR UPDATE OF definition SKIP LOCKED) AS mine
 WHERE d.name = mine.name AND d.version = mine.version
RETURNING 1
"""


def stay_announced(execute: Executor, sagas: Sequence[tuple[str, int]]) -> None:
    """The worker that has these sagas' code is alive: called every few seconds."""
    execute(_STAY_ANNOUNCED, _by_column(sagas))


def withdraw(execute: Executor, sagas: Sequence[tuple[str, int]]) -> None:
    """The worker stops; others that have the same code say so within seconds."""
    execute(_WITHDRAW, _by_column(sagas))


def _by_column(sagas: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {"name": [name for name, _ in sagas], "version": [version for _, version in sagas]}


_ANNOUNCE_STEPS = """
INSERT INTO saga.step_type (name, result_schema)
SELECT * FROM unnest(%(name)s::text[], %(schema)s::jsonb[])
ON CONFLICT (name) DO UPDATE SET result_schema = excluded.result_schema, seen_at = now()
RETURNING 1
"""


def announce_steps(execute: Executor, steps: list[tuple[str, str]]) -> None:
    """Writes down what the steps (name, schema) that a worker knows return."""
    names, schemas = (list(column) for column in zip(*sorted(steps), strict=True))
    execute(_ANNOUNCE_STEPS, {"name": names, "schema": schemas})


def announce(execute: Executor, sagas: list[tuple[str, int, str, str]]) -> None:
    """Writes down which sagas (name, version, queue, schema of the input) a worker can advance.
    Those that are parked are looked at anew: this may be the code that they wait for.
    """
    names, versions, queues, schemas = (list(column) for column in zip(*sorted(sagas), strict=True))
    execute(_ANNOUNCE, {"name": names, "version": versions, "queue": queues, "schema": schemas})
    execute(_UNPARK, {"name": names, "version": versions})
