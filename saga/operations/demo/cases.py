"""The demo's sagas: one for each message, started and approved as a user's code would do it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from saga import Client, Conflict, StartRequest
from saga.core.states import ENDED
from saga.storage.queries.snapshot import reader, snapshot
from saga.storage.queries.standing import counts, open_approvals
from saga.tasks.support import Issue, resolve_issue

BATCH = 200
APPROVERS = 3


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the sagas stand, by the engine's own account."""

    by_status: dict[str, int]
    waiting: tuple[UUID, ...]
    """Those that wait for approval, longest first."""

    @property
    def ended(self) -> int:
        """How many are over, however they ended."""
        return sum(self.by_status.get(status, 0) for status in ENDED)


def issues(texts: Sequence[str]) -> list[Issue]:
    """An issue for each message, with a customer and an amount that depend on its number only."""
    return [
        Issue(
            id=f"issue-{number:05d}",
            text=text,
            customer_id=f"C-{number:05d}",
            cents=500 + number * 37 % 9500,
        )
        for number, text in enumerate(texts, start=1)
    ]


class Cases:
    """Starts the sagas, approves what they ask and says where they stand."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        self._client = Client(database_url, broker_url)
        self._engine = reader(database_url)

    def start(self, wanted: Sequence[Issue]) -> None:
        """Start a saga for each issue; again with the same issues starts nothing new."""
        for first in range(0, len(wanted), BATCH):
            batch = wanted[first : first + BATCH]
            self._client.start_many(
                StartRequest(resolve_issue, {"issue": issue}, key=issue.id) for issue in batch
            )

    def counts(self) -> Counts:
        """Where the sagas stand now."""
        with snapshot(self._engine) as connection:
            waiting = open_approvals(connection, "refund", limit=BATCH)
            return Counts(counts(connection), tuple(waiting))

    def approve(self, waiting: Sequence[UUID]) -> None:
        """Approve these, as far as they still wait."""
        with ThreadPoolExecutor(APPROVERS) as approvers:
            for _ in approvers.map(self._approve, waiting):
                pass

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
        self._engine.dispose()

    def _approve(self, saga_id: UUID) -> None:
        # One that was answered since it was read has moved on.
        with suppress(Conflict):
            self._client.approve(saga_id, "refund", by="demo")
