"""What a Celery worker gains: tasks for the steps, a lease for each process, and the sweeper."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

from celery import Celery, bootsteps, signals

from saga.core.declare import checks
from saga.core.declare.registry import registry
from saga.engine.attempt.catalog import Catalog
from saga.engine.callbacks.courier import CallbackSettings
from saga.engine.sweep.announcing import announce
from saga.engine.sweep.sweeper import Sweeper
from saga.engine.worker.health_file import HealthFile
from saga.engine.worker.vital_signs import Beat, Postgres, SweeperVital, Vital
from saga.engine.worker.watchdog import EXIT_CODE, Watchdog
from saga.execution import sentry
from saga.execution.found import refuse_pool, serve_own_queues, tell
from saga.execution.handover import take_what_is_handed_over
from saga.execution.own_process import (
    has_lease,
    leave,
    process_of,
    queues_of,
    stop_process,
    take_up_no_more,
    take_up_steps,
    turn,
)
from saga.execution.pool import TaskPool
from saga.execution.pool_children import (
    Farewell,
    read_to_the_end,
)
from saga.execution.safe_transport import read_safely
from saga.execution.settings import (
    Settings,
    broker_of,
    keep,
    publisher_of,
    room_of,
    settings_of,
)
from saga.execution.shutdown import Leaver
from saga.execution.slots import slots
from saga.execution.step_log import StepLog, is_read
from saga.execution.step_tasks import register_tasks
from saga.execution.task_events import TaskEvents
from saga.execution.task_steps import adopt_tasks, warn_of_tasks
from saga.execution.vital_signs import ConsumerVital, loop_beat
from saga.execution.wait_for_postgres import patiently
from saga.execution.waiting_room import WaitingRoom
from saga.execution.without_broker import (
    Hands,
    LoneHands,
    NoHands,
    PoolHands,
    WithoutBroker,
)

log = logging.getLogger("saga.worker")


def is_installed(app: Celery) -> bool:
    """Whether `saga.install` was called on it."""
    return SagaStep in cast("Any", app).steps["worker"]


class SagaStep(bootsteps.StartStopStep):
    """Registers the tasks before the worker consumes, then sweeps beside it."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._app: Celery = parent.app
        self._sweeper: Sweeper | None = None
        self._watchdog: Watchdog | None = None
        self._beat: Beat | None = None
        self._helper: WithoutBroker | None = None
        self._farewell = Farewell() if _has_children(parent) else None
        settings = settings_of(parent.app)
        end = partial(_end, parent, 0) if settings.exits else None
        self._leaver = Leaver(settings.drain, end)
        take_up_steps()  # before the pool forks
        refuse_pool(parent.pool_cls)
        read_safely(parent.app)
        adopt_tasks(parent.app)
        serve_own_queues(parent.app)
        register_tasks(parent.app)
        take_what_is_handed_over(parent.app)
        _be_seen(parent)
        definitions = [*registry.steps(), *registry.sagas()]
        checks.refuse(definitions)
        if settings.checks:
            checks.warn(definitions)
            warn_of_tasks()
        signals.worker_process_init.connect(self._child_starts)
        signals.worker_process_shutdown.connect(_child_stops)
        signals.worker_shutting_down.connect(self._is_told_to_stop)
        signals.worker_shutdown.connect(self._has_stopped)

    def start(self, parent: Any) -> None:
        settings = settings_of(parent.app)
        self._leaver.start()
        patiently(lambda: announce(settings.database_url, Catalog(registry)))
        patiently(lambda: tell(parent.app, settings.database_url))
        if parent.pool_cls.__module__.endswith("solo"):
            parent.pool.terminate_job = _interrupt
        if self._farewell is None:
            patiently(lambda: process_of(parent.app))
        self._sweeper = Sweeper(
            settings.database_url,
            publisher_of(settings),
            patience=settings.lease / 2,
            callbacks=CallbackSettings.from_environment(),
            announced=[(saga.name, saga.version) for saga in registry.sagas()],
        )
        self._sweeper.start()
        if settings.watchdog:
            self._watch(parent, settings, self._sweeper)
        self._start_helper(self._hands_of(parent), room_of(settings))
        slots.open(partial(_slots_of, parent))
        log.info("saga worker ready")

    def _hands_of(self, parent: Any) -> Hands:
        if isinstance(parent.pool, TaskPool):
            return PoolHands(parent)
        if self._farewell is not None:  # its children have some
            return NoHands()
        return LoneHands(turn)

    def _start_helper(self, hands: Hands, room: WaitingRoom | None = None) -> None:
        settings = settings_of(self._app)
        process, queues = partial(process_of, self._app), partial(queues_of, self._app)
        self._helper = WithoutBroker(
            broker_of(settings), settings.database_url, process, queues, hands, room
        )
        self._helper.start()

    def _watch(self, parent: Any, settings: Settings, sweeper: Sweeper) -> None:
        publisher = publisher_of(settings)
        broker = broker_of(settings)
        self._beat = loop_beat(parent, broker)
        vitals: list[Vital] = [
            self._beat,
            ConsumerVital(parent, publisher, broker),
            SweeperVital(sweeper, Postgres(settings.database_url)),
        ]
        self._watchdog = Watchdog(
            vitals, settings.watchdog, HealthFile(parent.hostname), partial(_end, parent, EXIT_CODE)
        )
        self._watchdog.start()

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Called by Celery for each connection to the broker."""
        del parent
        if self._beat is not None:
            self._beat.beat()
            hub.call_repeatedly(self._beat.EVERY, self._beat.beat)

    def stop(self, parent: Any) -> None:
        """Lets the steps at hand finish and hands the others over."""
        if self._watchdog is not None:
            self._watchdog.stop()
        slots.close()
        self._help_no_more()
        until = time.monotonic() + settings_of(parent.app).drain
        if self._farewell is not None:
            self._farewell.say()
            read_to_the_end(parent.pool)
        self._leaver.tell()
        self._leaver.wait()
        if isinstance(parent.pool, TaskPool) and not parent.pool.rests(until):
            log.warning("tasks that did not finish in time are given up")
        self.terminate(parent)

    def terminate(self, parent: Any) -> None:
        del parent
        # The children of a next worker in this process are not to hear this one's farewell.
        signals.worker_process_init.disconnect(self._child_starts)
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._sweeper is not None:
            self._sweeper.stop()
        stop_process()

    def _is_told_to_stop(self, **_: Any) -> None:
        """In the signal's handler: Celery stops this step only when it has left the broker."""
        take_up_no_more()
        slots.close()
        self._help_no_more()
        self._leaver.tell()
        if self._farewell is not None:
            self._farewell.say()

    def _help_no_more(self) -> None:
        if self._helper is not None:
            self._helper.stop()

    def _has_stopped(self, **_: Any) -> None:
        self._leaver.done()

    def _child_starts(self, **_: Any) -> None:
        if self._farewell is not None:
            self._farewell.hear(self._child_leaves)
            self._start_helper(LoneHands(turn))

    def _child_leaves(self) -> None:
        self._help_no_more()
        settings = settings_of(self._app)
        if not leave(settings.drain) and settings.exits:
            os._exit(0)


def _slots_of(parent: Any) -> int:
    """None while it has no lease: messages are for those that have one."""
    if not has_lease():
        return 0
    return int(getattr(parent, "max_concurrency", None) or parent.pool.num_processes)


def _has_children(parent: Any) -> bool:
    return str(parent.pool_cls.__module__).endswith("prefork")


def _be_seen(parent: Any) -> None:
    """The log, Sentry and Flower see our steps, whoever started the worker.

    Flower does by events of ours. Celery's own, of the app's other tasks, are as costly as before
    and stay as the app has them.
    """
    settings = settings_of(parent.app)
    watchers = list(settings.watchers)
    if sentry.is_used():  # before the log: what it has seen, Sentry takes no second time from there
        watchers.append(sentry.SentryReports)
    if is_read():
        watchers.append(StepLog)
    if parent.task_events if settings.events is None else settings.events:
        watchers.append(lambda: TaskEvents(parent.app, parent.hostname))
    keep(parent.app, replace(settings, watchers=tuple(watchers)))


def _interrupt(*_: Any) -> None:
    """A cold shutdown of a solo pool, in the handler of its signal, so in the middle of a step.

    Celery raises NotImplementedError there, which would pass for the step's own.
    """
    raise KeyboardInterrupt


def _end(parent: Any, code: int) -> None:
    """The children of a prefork pool first: nobody would end them."""
    for child in getattr(getattr(parent.pool, "_pool", None), "_pool", None) or ():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    os._exit(code)


def _child_stops(**_: Any) -> None:
    stop_process()
