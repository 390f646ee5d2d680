"""The hot statements for all threads of a process: what several want at once is one statement.

No saga can hold up the others: of their code only what takes no time runs in here (see `CodeWatch`)
and is left behind should it take long; what fails for one is tried alone, and what is large is read
elsewhere (see `Loader`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from saga.core.rows import StepKey, StepRow
from saga.core.states import ENDED
from saga.engine.advance.code_watch import CodeWatch
from saga.engine.advance.group_commit import GroupCommit, Job
from saga.engine.advance.leases import Leases
from saga.engine.advance.stages import Decided, Decision
from saga.engine.attempt.work import Work
from saga.failpoint import failpoint
from saga.storage import workers
from saga.storage.connect import is_lost
from saga.storage.hot.rows import Claimed, Known, Landed, Loaded, Move, Seen
from saga.storage.hot.store import Store
from saga.storage.turning import stuck
from saga.wakeups.bell import Ringer
from saga.wakeups.message import WakeUp
from saga.wakeups.outbox import Outbox

T = TypeVar("T")
State = tuple[str, int]
"""Where a step stands: its state and its attempt."""


@dataclass(slots=True, eq=False)
class ClaimJob(Job):
    """Takes a step's lease; what its saga has that is new is read along."""

    key: StepKey
    limit: float | None
    known: Known | None
    work: Work | None = None
    state: State | None = None  # where the step stands, if it was not to be had
    loaded: Loaded | None = None


@dataclass(slots=True, eq=False)
class RecordJob(Job):
    """Moves a step without a decision."""

    move: Move
    landed: bool = False
    event: int | None = None
    state: State | None = None  # where the step stands, if it did not move


@dataclass(slots=True, eq=False)
class LoadJob(Job):
    """Reads what is new of a saga."""

    known: Known
    loaded: Loaded | None = None


@dataclass(slots=True, eq=False)
class StepsJob(Job):
    """Reads all steps of a saga."""

    saga_id: UUID
    rows: list[StepRow] = field(default_factory=list[StepRow])


@dataclass(slots=True, eq=False)
class LandJob(Job):
    """Decides and writes the decision; what it grants and whom it wakes counts only if it lands."""

    decide: Callable[[], Decision] | None
    decided: Decision = None
    landed: Landed | None = None

    @property
    def prepares(self) -> bool:
        return self.decide is not None

    def prepare(self) -> None:
        decide, self.decide = self.decide, None
        if decide is not None:
            try:
                self.decided = decide()
            except BaseException as error:
                self.error, self.served = error, True

    @property
    def to_land(self) -> Decided | None:
        decided = self.decided
        return decided if isinstance(decided, Decided) and decided.lands else None


@dataclass(slots=True, eq=False)
class CallJob(Job):
    """Whatever is rare: a function of the store."""

    function: Callable[[Store], Any]
    result: Any = None


class SharedStore:
    """One connection for all threads; each method returns when its statement has been committed.

    Every method raises what Postgres says of this caller's request alone, or, for all that were at
    it, that the connection was lost: then nobody knows whether it was committed.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        leases: Leases,
        outbox: Outbox,
        *,
        worker_id: Callable[[], int],
        on_refused: Callable[[int], bool],
        clock: Callable[[], float],
        watch: CodeWatch,
    ) -> None:
        self._connect = connect
        self._store: Store | None = None
        self._leases = leases
        self._outbox = outbox
        self._worker_id = worker_id
        self._clock = clock
        self._watch = watch
        self._on_refused = on_refused
        self._refused: int | None = None
        self._will_return = False
        self._noted: list[UUID] = []  # whose code may be running, as the database has it
        self._ringer = Ringer(clock)
        self._group = GroupCommit(self._serve, outbox.send)
        self._kinds: tuple[tuple[type[Job], Callable[[Any], None]], ...] = (
            (RecordJob, self._record),
            (LandJob, self._land),
            (ClaimJob, self._claim),
            (LoadJob, self._load),
            (StepsJob, self._steps),
        )

    # -- for threads

    def claim(self, key: StepKey, limit: float | None, known: Known | None) -> ClaimJob:
        """Takes a step's lease. `limit`: its timeout in seconds; `known`: of its saga, None if that
        is not to be read.
        """
        return self._submit(ClaimJob(key, limit, known))

    def record(self, move: Move) -> RecordJob:
        """Moves a step, if it still stands where the move begins."""
        return self._submit(RecordJob(move))

    def load(self, known: Known) -> Loaded | None:
        """A saga beyond what is known of it; None: there is none of this id."""
        return self._submit(LoadJob(known)).loaded

    def steps(self, saga_id: UUID) -> list[StepRow]:
        """All steps of a saga, with what undoing them needs."""
        return self._submit(StepsJob(saga_id)).rows

    def land(self, decided: Decided) -> Landed | None:
        """Writes a decision; None if the saga is no longer as that had seen it."""
        job = LandJob(None, decided)
        return self._submit(job).landed

    def decide(self, decide: Callable[[], Decision]) -> LandJob:
        """Has something decided that takes no time, by the thread that leads, and writes it."""
        return self._submit(LandJob(decide))

    def call(self, function: Callable[[Store], T]) -> T:
        """Has it called with the store, by itself."""
        return self._submit(CallJob(function)).result

    def call_soon(self, function: Callable[[Store], T], patience: float) -> T | None:
        """The same for a thread that must not wait: None while batches keep the store so long."""
        if not self._group.lock.acquire(timeout=patience):
            return None
        try:
            return function(self._ready())
        except psycopg.Error:
            self._disconnect()
            raise
        finally:
            self._group.lock.release()

    def note_advancing(self, patience: float) -> None:
        """Writes down whose code runs, if that is not what was written last."""
        sagas = self._watch.sagas
        if sagas == self._noted:
            return

        def note(store: Store) -> None:
            stuck.note_advancing(store.connection, self._worker_id(), sagas)
            self._noted = sagas

        self.call_soon(note, patience)

    def plan_now(self, count: int, store: Store) -> None:
        """So many steps are due at once: the sweeper is told."""
        self._ringer.plan([self._clock()] * count, store)

    @property
    def is_refused(self) -> bool:
        """Whether this worker was taken for dead or has signed off, and has no new id."""
        return self._refused == self._worker_id()

    @property
    def is_about_to_be_taken_on(self) -> bool:
        """Whether it was refused, and will have a new id in a moment."""
        return self.is_refused and self._will_return

    @property
    def batches(self) -> int:
        """How many were served: it rises as long as anything goes on."""
        return self._group.batches

    @property
    def is_busy(self) -> bool:
        """Whether threads wait for their batch."""
        return self._group.is_busy

    def close(self) -> None:
        """Closes the connection; it can be used again."""
        with self._group.lock:
            self._disconnect()

    def _submit(self, job: Any) -> Any:
        self._group.submit(job)
        return job

    # -- for the thread that leads

    def _serve(self, batch: list[Job]) -> None:
        for kind, serve in self._kinds:
            jobs = [job for job in batch if type(job) is kind]
            if jobs:
                self._together(serve, jobs)
        for job in batch:
            if type(job) is CallJob:
                self._together(self._call, [job])

    def _together(self, serve: Callable[[list[Any]], None], jobs: list[Job]) -> None:
        """One job is poison, or its saga's row is locked: only that one may fail."""
        try:
            serve(jobs)
        except psycopg.Error as error:
            if is_lost(error, self._store and self._store.connection):
                self._disconnect()
                raise
            left = [job for job in jobs if not job.served]
            if len(jobs) > 1:
                for job in left:
                    self._together(serve, [job])
                return
            for job in left:
                job.error = error
        for job in jobs:
            job.served = True

    def _claim(self, jobs: list[ClaimJob]) -> None:
        failpoint("P5")
        wanted = {job.key: job for job in jobs}  # two threads may have the same wake-up
        store = self._ready()
        claimed = store.claim([(key, job.limit) for key, job in wanted.items()], self._worker_id())
        blind = [row.key for row in claimed if row.undo and row.result is None]
        results = store.results(blind) if blind else {}
        for row in claimed:
            job = wanted[row.key]
            job.work = self._granted(job, work_of(row, results.get((row.saga_id, row.position))))
            job.served = job.comes_back = True
        missed = [job for job in jobs if job.work is None]
        states = store.states([job.key for job in missed]) if missed else {}
        if states:
            self._ask_whether_refused(store)
        for job in missed:
            job.state = states.get(job.key)
        stale = {row.saga_id: known for row in claimed if (known := _stale(row, wanted))}
        if stale:
            found = self._loaded(list(stale.values()))
            for job in jobs:
                job.loaded = found.get(job.key.saga_id) if job.work else None

    def _record(self, jobs: list[RecordJob]) -> None:
        store = self._ready()
        landed = store.record([job.move for job in jobs])
        failpoint("P9", store.connection)
        refused = [job.move.key for job in jobs if job.move.key not in landed]
        states = store.states(refused) if refused else {}
        for job in jobs:
            key = job.move.key
            job.landed, job.event, job.state = key in landed, landed.get(key), states.get(key)
            job.comes_back = True
        now = self._clock()
        pauses = [job.move.due_in for job in jobs if job.landed]
        self._ringer.plan([now + s for s in pauses if s is not None], store)

    def _load(self, jobs: list[LoadJob]) -> None:
        found = self._loaded([job.known for job in jobs])
        for job in jobs:
            job.loaded = found.get(job.known.saga_id)
            job.comes_back = True

    def _loaded(self, wanted: list[Known]) -> dict[UUID, Loaded]:
        """Code that starts from nothing may be what ended the last worker that was at it."""
        cold = [known.saga_id for known in wanted if known.seq < 0]
        advancing = [*self._watch.sagas, *cold] if cold else []
        self._noted = advancing or self._noted
        rows = self._ready().load(wanted, self._worker_id(), advancing)
        return {row.saga_id: row for row in rows}

    def _steps(self, jobs: list[StepsJob]) -> None:
        found = self._ready().load_steps_of_each([job.saga_id for job in jobs])
        for job in jobs:
            job.rows = found[job.saga_id]
            job.comes_back = True

    def _land(self, jobs: list[LandJob]) -> None:
        decisions = [(job, decided) for job in jobs if (decided := job.to_land) is not None]
        if not decisions:
            return
        store = self._ready()
        landings = [decided.landing for _, decided in decisions if decided.landing is not None]
        landed = store.land(landings, self._worker_id())
        failpoint("P9", store.connection)
        failpoint("P10")
        wakeups: list[WakeUp] = []
        ended: list[UUID] = []
        planned: list[float] = []
        for landing, (job, decided) in zip(landings, decisions, strict=True):
            job.served = True
            job.landed = landed.get(landing.saga_id)
            job.comes_back = job.landed is None or decided.grant is not None
            if job.landed is None:
                continue
            if decided.grant is not None:
                decided.grant = self._granted(job, decided.grant)
            wakeups += decided.wakeups
            planned += [asked.due for asked in landing.asked if asked.due]
            if job.landed.awaited and landing.status in ENDED:
                ended.append(landing.saga_id)
        if any(decided.grant is not None and job.landed is None for job, decided in decisions):
            self._ask_whether_refused(store)
        self._outbox.publish(wakeups, ended)
        self._ringer.plan(planned, store)

    def _granted(self, job: Job, work: Work) -> Work | None:
        """The lease in the hand of the job's thread. None if that is held up by another's saga: the
        lease would run out there, so it is given up, as one that no thread has.
        """
        return None if job.is_away else self._leases.grant(work)

    def _ask_whether_refused(self, store: Store) -> None:
        """A worker that was taken for dead is granted nothing: it waits until it has a new id."""
        worker_id = self._worker_id()
        if workers.has_ended(store.connection, worker_id):
            self._refused = worker_id
            self._will_return = self._on_refused(worker_id)

    def _call(self, jobs: list[CallJob]) -> None:
        (job,) = jobs
        job.result = job.function(self._ready())

    def _ready(self) -> Store:
        if self._store is None or self._store.connection.closed:
            self._store = self._connect()
        return self._store

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.connection.close()
            self._store = None


def _stale(row: Claimed, wanted: dict[StepKey, ClaimJob]) -> Known | None:
    """What to read of a claimed step's saga, so that its outcome can be decided upon at once.

    Nothing if it is wide: others settle meanwhile, and reading early is in vain.
    """
    known = wanted[row.key].known
    if known is None or known.seen == Seen(row.events, row.applied, row.fence):
        return None
    return known if known.width <= 1 else None


def work_of(row: Claimed, result: str | None) -> Work:
    """The lease in the hand of whoever claimed it."""
    return Work(
        row.key,
        row.saga_name,
        row.intent,
        row.attempt,
        row.fence,
        row.in_doubt,
        row.result or result,
        row.forgiven,
        row.lost,
        row.traceparent,
    )
