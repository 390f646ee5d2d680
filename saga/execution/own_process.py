"""The engine of this process. Each child of a pool has its own, from its first step on."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# Celery has no types.

import logging
import os
import threading
from typing import Any

from celery import Celery

from saga.core import failures
from saga.core.declare.registry import registry
from saga.engine.worker.process import WorkerProcess
from saga.engine.worker.vital_signs import AsyncVital, ConductorVital, LeaseVital, Postgres
from saga.engine.worker.watchdog import Watchdog
from saga.execution.settings import Settings, publisher_of, settings_of
from saga.wakeups.message import HANDOVER

log = logging.getLogger("saga.worker")

_processes: dict[int, WorkerProcess] = {}  # by pid: a fork must not use its parent's
_watchdogs: dict[int, Watchdog] = {}
_is_leaving = False
_starting = threading.Lock()
_ending = threading.Lock()
turn = threading.Lock()
"""Held while a process of one slot runs a step, by a message or without."""
_END_WITHIN = 5.0  # seconds


def queues_of(app: Any) -> frozenset[str]:
    """Those that it serves; not the one of wake-ups that are handed over to it."""
    return frozenset(q for q in app.amqp.queues.consume_from if not q.startswith(HANDOVER))


def process_of(app: Celery) -> WorkerProcess:
    """This process's lease and conductor, started at first use."""
    with _starting:
        return _process_of(app)


def _process_of(app: Celery) -> WorkerProcess:
    process = _processes.get(os.getpid())
    if process is None:
        settings = settings_of(app)
        process = WorkerProcess(
            settings.database_url,
            publisher_of(settings),
            registry,
            queues_of(app),
            lease=settings.lease,
            code_limit=settings.code_limit,
            cache_bytes=settings.cache,
            watchers=[make() for make in settings.watchers],
        )
        failures.keep_private(settings.private_errors)
        process.start()
        _processes[os.getpid()] = process
        if _is_leaving:
            process.take_up_no_more()
        if settings.watchdog:
            _watch(process, settings)
    return process


def has_lease() -> bool:
    """Whether this process may take up steps, or its children do."""
    process = _processes.get(os.getpid())
    return process is None or process.presence.is_held


def _watch(process: WorkerProcess, settings: Settings) -> None:
    """Ends this process, a child of the pool perhaps, when its engine hangs."""
    postgres = Postgres(settings.database_url)
    vitals = [
        LeaseVital(process, postgres),
        ConductorVital(process, postgres),
        AsyncVital(process),
    ]
    _watchdogs[os.getpid()] = watchdog = Watchdog(vitals, settings.watchdog, is_last_resort=True)
    watchdog.start()


def take_up_steps() -> None:
    """The opposite of `take_up_no_more`: for a process in which one worker follows another."""
    global _is_leaving  # noqa: PLW0603 - of the process, as its signals are
    _is_leaving = False


def take_up_no_more() -> None:
    """The steps at hand go on, and nothing after them. Signal handlers may call it."""
    global _is_leaving  # noqa: PLW0603
    _is_leaving = True
    process = _processes.get(os.getpid())
    if process is not None:
        process.take_up_no_more()


def leave(drain: float) -> bool:
    """Gives the steps at hand so many seconds, then hands over what is left of them; whether they
    all have finished.
    """
    take_up_no_more()
    log.info("takes up no more steps")
    process = _processes.get(os.getpid())
    finished = process is None or process.drain(drain)
    if not finished:
        log.warning("steps that did not finish in %g seconds are handed over", drain)
    stop_process()
    return finished


def stop_process() -> None:
    """Ends this process's lease, if it has one. Another thread that is at it is waited for, but not
    for ever: what ends the lease may wait for a server that is silent.
    """
    if not _ending.acquire(timeout=_END_WITHIN):
        return
    try:
        _stop_process()
    finally:
        _ending.release()


def _stop_process() -> None:
    watchdog = _watchdogs.pop(os.getpid(), None)
    if watchdog is not None:
        watchdog.stop()
    process = _processes.pop(os.getpid(), None)
    if process is not None:
        process.stop()
