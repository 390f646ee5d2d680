"""Celery's thread pool, which here says when a slot is free, and can grow and shrink."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from celery.concurrency.base import BasePool, apply_target
from celery.concurrency.thread import ApplyResult

from saga.execution.slots import slots
from saga.execution.threads import Crew


class TaskPool(BasePool):
    """Wakes the worker's event loop when it waits for a slot.

    The worker leaves messages in Redis while all slots are taken. Without a wake-up it would notice
    a free slot at its next poll only, up to a second later.
    """

    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.crew = Crew(max(1, int(self.limit or 1)))

    @property
    def num_processes(self) -> int:
        """Slots: so many messages the worker takes from the broker at a time."""
        return self.crew.size

    def grow(self, n: int = 1) -> None:
        """More slots, at once."""
        self.crew.resize(self.crew.size + n)

    def shrink(self, n: int = 1) -> None:
        """Fewer slots; what runs is not interrupted, and one always stays."""
        self.crew.resize(self.crew.size - n)

    def on_start(self) -> None:
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def register_with_event_loop(self, hub: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        hub.add_reader(self._wake_reader, self._drain)

    def on_apply(
        self,
        target: Any,
        args: Any = None,
        kwargs: Any = None,
        callback: Any = None,
        accept_callback: Any = None,
        **_: Any,
    ) -> Any:
        future = self.crew.submit(apply_target, target, args, kwargs, callback, accept_callback)
        future.add_done_callback(self._wake)
        return ApplyResult(future)

    def take(self, job: Callable[[], None]) -> None:
        """A job without a result, which must not raise: less to do than for `apply_async`."""
        self.crew.put(partial(self._do, job))

    def _do(self, job: Callable[[], None]) -> None:
        job()
        self._wake()

    def rests(self, until: float) -> bool:
        """Waits until nothing is at work, but not past a time of `time.monotonic`; whether so."""
        while not self.crew.is_idle and time.monotonic() < until:
            time.sleep(0.02)
        return self.crew.is_idle

    def on_stop(self) -> None:
        """Waits for no thread: what is at hand has had its time (see `SagaStep.stop`)."""
        self.crew.close()

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "max-concurrency": self.crew.size,
            "threads": self.crew.threads,
        }

    def _wake(self, _: "Future[Any] | None" = None) -> None:
        if not slots.is_awaited:
            return
        with suppress(BlockingIOError):  # then it has been woken often enough
            os.write(self._wake_writer, b"x")

    def _drain(self) -> None:
        os.read(self._wake_reader, 4096)
