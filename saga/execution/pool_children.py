"""The processes of a prefork pool, while their worker stops."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Celery and billiard have no types.

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from billiard import common as billiard
from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from billiard.pool import ApplyResult
from celery.concurrency.asynpool import AsynPool
from celery.worker.request import Request

from saga.execution.slots import slots


class Farewell:
    """How they hear of it: the worker holds one end of a pipe, and lets go."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._is_said = False

    def say(self) -> None:
        """Once is enough. Signal handlers may call it."""
        if not self._is_said:
            self._is_said = True
            os.close(self._writer)

    def hear(self, leave: Callable[[], None]) -> None:
        """For a process that has just been forked; calls from a thread, also if the worker dies."""
        self.say()  # its copy of the worker's end
        threading.Thread(
            target=self._wait, args=(leave,), name="saga-farewell", daemon=True
        ).start()

    def _wait(self, leave: Callable[[], None]) -> None:
        os.read(self._reader, 1)
        leave()


def read_to_the_end(pool: Any) -> None:
    """Has the pool read what its processes write until all of them have left.

    Celery forgets the tasks that it has not heard of when it stops to consume, and stops to read
    when it knows of none; but a process waits, up to 30 seconds, until what it wrote is read. So
    one whose task began and ended in that moment held up its worker. A task that never ends keeps
    the pool reading.
    """
    if isinstance(pool._pool, AsynPool):
        ApplyResult(pool._pool._cache, None)  # pyright: ignore[reportPrivateUsage]


class StepRequest(Request):
    """A step's message, in the worker: a step that was handed over is no error."""

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        if slots.are_closed and isinstance(error, WorkerLostError):
            return None
        return super().on_failure(exc_info, *args, **kwargs)


def interrupt_when_ended() -> None:
    """Has a signal that ends this process of a pool interrupt its step, as ^C would.

    Such signals come from a supervisor that sends SIGTERM to the whole group, and from a cold
    shutdown. billiard answers them with SystemExit, which passes for the step's own: it would have
    failed, and not be undone, though nobody knows how far it had come.
    """
    for name in billiard.TERMSIGS_FULL:
        number = billiard.signum(name)
        if number and signal.getsignal(number) is billiard._shutdown_cleanup:  # pyright: ignore[reportPrivateUsage]
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    try:
        billiard._shutdown_cleanup(number, frame)  # pyright: ignore[reportPrivateUsage]
    except SystemExit as told:
        raise KeyboardInterrupt from told
