"""The Celery tasks of a worker: one for each step and undo, one to advance sagas, and the inbox."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery import Celery

from saga.core.declare.registry import registry
from saga.core.rows import StepKey
from saga.engine.attempt.catalog import Catalog
from saga.errors import DefinitionError
from saga.execution import short_way
from saga.execution.inbox import Inbox
from saga.execution.own_process import process_of, turn
from saga.execution.pool_children import StepRequest, interrupt_when_ended
from saga.execution.refusals import refused
from saga.execution.settings import client_of, room_of, settings_of
from saga.failpoint import failpoint
from saga.wakeups.message import ADVANCE, key_of, task_of


def register_tasks(app: Celery) -> None:
    """A Celery task for each step and compensation, by its name, and one to advance sagas."""
    options: dict[str, Any] = {"ignore_result": True, "acks_late": False, "shared": False}
    options["send_events"] = False  # see task_events
    options["Strategy"] = short_way.NAME
    options["Request"] = StepRequest
    for step in Catalog(registry).names():
        name = task_of(step)
        if name in app.tasks:
            if not getattr(app.tasks[name], "saga_step", False):
                raise DefinitionError(
                    f"the app has a task named {name!r} of its own: give the step another name="
                )
            continue
        app.task(_run_step(app, step), name=name, saga_step=True, **options)
    if ADVANCE not in app.tasks:
        app.task(_advance(app), name=ADVANCE, saga_step=True, **options)
    settings = settings_of(app)
    Inbox(app, client_of(settings), room_of(settings)).register()


def _run_step(app: Celery, name: str) -> Any:
    def run_step(*arguments: object, **_: object) -> None:
        failpoint("P12")  # Celery has acknowledged the message by now
        if key := _key_of(name, arguments):
            with _turn():
                process_of(app).run_step(name, key)

    return run_step


def _advance(app: Celery) -> Any:
    def advance(saga_id: object, *rest: object, **_: object) -> None:
        if key := _key_of(ADVANCE, (saga_id, *(rest or (0, False)))):
            with _turn():
                process_of(app).advance(key.saga_id)

    return advance


def _turn() -> AbstractContextManager[object]:
    """One at a time, where a process has one slot. Its main thread has the signals."""
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    interrupt_when_ended()
    return turn


def _key_of(task: str, arguments: Sequence[object]) -> StepKey | None:
    """None, and it says so: somebody else made this message."""
    key = key_of(*arguments)
    if key is None:
        refused({"task": task}, "its arguments name no step")
    return key
