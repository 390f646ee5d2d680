"""A saga in a client's hand."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic
from uuid import UUID

from typing_extensions import TypeVar  # typing's own has no default before Python 3.13

from saga.core.declare.registry import registry
from saga.core.states import ENDED
from saga.errors import SagaFailed, UnknownSaga

if TYPE_CHECKING:
    from saga.client.client import Client
    from saga.storage.starts import Standing


R = TypeVar("R", default=Any)


class Handle(Generic[R]):
    """A saga that was started; `R` is what it returns.

    Holds no resources: it may be kept, pickled as its `id`, and thrown away.
    """

    def __init__(self, client: Client, saga_id: UUID, *, is_new: bool = False) -> None:
        """`is_new`: this very call started it, and no earlier one with the same key."""
        self._client = client
        self.id = saga_id
        self.is_new = is_new

    def status(self) -> str:
        """Where it stands: see `saga.core.states.SagaStatus`."""
        return self._client.standing(self.id).status

    def exposed(self) -> Any:
        """What the saga's code last gave to `expose()`; None before that."""
        text = self._client.standing(self.id).exposed
        return None if text is None else json.loads(text)

    def result(self, timeout: timedelta | float | None = None) -> R:
        """Waits for the end and returns the saga's result, typed if this process has its code.

        Raises SagaFailed for any end but `completed`, and TimeoutError after `timeout` (a number is
        seconds); the saga goes on all the same.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        standing = self._wait(seconds)
        if standing.status == "completed":
            return self._decode(standing)
        error: dict[str, Any] = json.loads(standing.error) if standing.error else {}
        why = f": {error['type']}: {error['message']}" if "message" in error else ""
        raise SagaFailed(
            f"saga {standing.name} {self.id} is {standing.status}{why}", standing.status, error
        )

    def _wait(self, timeout: float | None) -> Standing:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._client.publisher.announcements(self.id) as heard:
            listening = self._client.await_end(self.id)
            while True:
                left = 1.0 if deadline is None else deadline - time.monotonic()
                if listening and left > 0:
                    heard(min(left, 1.0))
                standing = self._client.standing(self.id)
                if standing.status in ENDED:
                    return standing
                if left <= 0:
                    raise TimeoutError(f"saga {self.id} is still {standing.status}")
                listening = True

    @staticmethod
    def _decode(standing: Standing) -> Any:
        text = standing.result or "null"
        try:
            return registry.saga(standing.name, standing.version).decode_result(text)
        except UnknownSaga:
            return json.loads(text)

    def signal(
        self,
        name: str,
        payload: Any = None,
        *,
        dedup_id: str | None = None,
        sender: str | None = None,
        connection: Any = None,
    ) -> bool:
        """See `Client.signal`."""
        return self._client.signal(
            self.id, name, payload, dedup_id=dedup_id, sender=sender, connection=connection
        )

    def approve(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.approve`."""
        return self._client.approve(self.id, name, position=position, by=by, reason=reason)

    def reject(
        self,
        name: str | None = None,
        *,
        position: int | None = None,
        by: str = "unknown",
        reason: str | None = None,
    ) -> int:
        """See `Client.reject`."""
        return self._client.reject(self.id, name, position=position, by=by, reason=reason)

    def cancel(self, *, by: str = "unknown", reason: str | None = None) -> None:
        """See `Client.cancel`."""
        self._client.cancel(self.id, by=by, reason=reason)

    def __repr__(self) -> str:
        return f"<saga {self.id}>"
