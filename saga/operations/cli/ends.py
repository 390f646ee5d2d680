"""Waiting for the end of sagas that a command has set in motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from saga.client.units import duration
from saga.errors import SagaFailed

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from saga.client.client import Client
    from saga.client.handle import Handle

R = TypeVar("R")

awaited = click.option(
    "--wait",
    "wait_for",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait for the end of each; another end than the one hoped for counts as refused.",
)


class NotOver(TimeoutError):
    """A saga that has not ended in the time that --wait gave it; it goes on all the same."""

    def __init__(self, saga_id: UUID, message: str) -> None:
        super().__init__(message)
        self.id = saga_id


def result_of(handle: Handle[R], seconds: float) -> R:
    """What the saga returns. Raises SagaFailed for another end, and NotOver."""
    try:
        return handle.result(seconds)
    except TimeoutError as error:
        raise NotOver(handle.id, f"{error}, after {duration(seconds)} of --wait") from None


class Ends:
    """How the sagas have ended that a command waits for; none, if it is not to wait."""

    def __init__(self, client: Client, seconds: float | None) -> None:
        self._client = client
        self._seconds = seconds
        self.statuses: dict[UUID, str] = {}

    @property
    def are_awaited(self) -> bool:
        """Whether --wait was given."""
        return self._seconds is not None

    def wait(self, saga_id: UUID, hoped_for: Collection[str]) -> None:
        """Until it has ended. Raises SagaFailed for an end that was not hoped for, and NotOver."""
        if self._seconds is None:
            return
        try:
            result_of(self._client.handle(saga_id), self._seconds)
        except SagaFailed as error:
            self.statuses[saga_id] = error.status
            if error.status not in hoped_for:
                raise
        else:
            self.statuses[saga_id] = "completed"
            if "completed" not in hoped_for:
                raise SagaFailed(f"saga {saga_id} is completed", "completed")
