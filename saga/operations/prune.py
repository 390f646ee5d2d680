"""Removing old sagas, batch by batch."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg

from saga.client.connections import Connections
from saga.core import codec
from saga.core.states import ENDED, SagaStatus
from saga.errors import InvalidInput
from saga.storage import prune

_BATCH = 100
_YOUNGEST = timedelta(hours=1)  # workers may still have what ended just now at hand


@dataclass(slots=True)
class Pruned:
    """What went: rows by kind; `kept`: how many sagas stayed, by reason."""

    roots: int = 0
    rows: Counter[str] = field(default_factory=Counter[str])
    kept: Counter[str] = field(default_factory=Counter[str])


class Pruning:
    """One run. A crash leaves whole sagas, and an audit row that says how many have gone."""

    def __init__(
        self,
        before: datetime | timedelta,
        statuses: Sequence[str] = (),
        *,
        given_up: bool = False,
        by: str,
        reason: str,
    ) -> None:
        """Raises InvalidInput for sagas that are no older than an hour, or that have not ended."""
        age = before if isinstance(before, timedelta) else datetime.now(UTC) - before
        if age < _YOUNGEST:
            raise InvalidInput("ended-before: at least 1h ago, like 90d")
        strange = set(statuses) - set(ENDED)
        if strange:
            raise InvalidInput(f"status: one of {', '.join(ENDED)}, not {min(strange)!r}")
        self._before = before
        self._statuses = list(statuses) or [
            status for status in ENDED if status != SagaStatus.PARTLY_COMPENSATED
        ]
        self._given_up = given_up
        self._by = by
        self._reason = reason
        self._audit: int | None = None
        self.done = Pruned()

    def run(
        self,
        connections: Connections,
        most: int | None = None,
        *,
        dry: bool = False,
        say: Callable[[Pruned], None] = lambda _: None,
    ) -> Pruned:
        """Removes the oldest first, `most` sagas (children not counted); `say` hears of each batch.

        `dry` looks at all of them and removes none. Raises Unavailable: what went before is gone.
        """
        before = connections.transact(lambda c: prune.cutoff(c, self._before))
        wanted = prune.Wanted(before, self._statuses, self._given_up)
        after: prune.Place | None = prune.Place()
        while after is not None and (most is None or self.done.roots < most):
            size = _BATCH if most is None else min(_BATCH, most - self.done.roots)
            work = functools.partial(self._batch, wanted=wanted, after=after, size=size, dry=dry)
            batch, rows, self._audit = connections.transact(work)
            self.done.roots += batch.roots
            self.done.rows = rows
            self.done.kept.update(batch.kept)
            after = batch.last
            say(self.done)
        return self.done

    def _batch(
        self,
        connection: psycopg.Connection,
        *,
        wanted: prune.Wanted,
        after: prune.Place,
        size: int,
        dry: bool,
    ) -> tuple[prune.Batch, Counter[str], int | None]:
        batch = prune.choose(connection, wanted, after, size)
        if dry:
            return batch, self.done.rows + Counter(sagas=len(batch.sagas)), None
        if not batch.sagas:
            return batch, self.done.rows, self._audit
        rows = self.done.rows + Counter(prune.remove(connection, batch.sagas))
        told = {"ended_before": wanted.before.isoformat(), "statuses": wanted.statuses, **rows}
        details = codec.encode(told, "details")
        return batch, rows, prune.note(connection, self._audit, self._by, self._reason, details)
