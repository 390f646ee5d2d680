"""The life of a step, once a thread has attempted it: record, load, decide, land.

Everything is optimistic. A decision is made from what this process knows and lands only if that was
all there was to know; otherwise the outcome is recorded by itself, the saga is loaded and decided
upon again. A saga's code that may take long runs on the thread that wants something of the saga,
and holds up nobody else: all that threads share is statements, and decisions that take no time.
"""

import logging
from collections.abc import Callable
from functools import partial
from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.core.states import CLAIMABLE, FORWARD, SagaStatus
from saga.engine.advance.after_landing import after_landing, tell_of_failure
from saga.engine.advance.cache import Cache, Owners
from saga.engine.advance.code_watch import CodeWatch, RanTooLong
from saga.engine.advance.decider import Decider
from saga.engine.advance.live import Live
from saga.engine.advance.loader import Loader
from saga.engine.advance.shared_store import ClaimJob, SharedStore
from saga.engine.advance.stages import (
    AskedAgain,
    Attempted,
    Decided,
    Decision,
    Doubted,
    Evidence,
    Held,
    News,
    RecordFirst,
)
from saga.engine.attempt.work import Ended, Work
from saga.failpoint import failpoint
from saga.storage.hot.rows import Known, Landed, Loaded, Move
from saga.storage.hot.store import Store
from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.outbox import Outbox

log = logging.getLogger("saga.engine")

_ROUNDS = 4  # conflicts before a thread waits


class Busy(Exception):
    """Somebody else is at it: the caller tries again in a moment."""


class Advancer:
    """Advances sagas on behalf of threads; a saga is one thread's at a time."""

    def __init__(
        self,
        shared: SharedStore,
        connect: Callable[[], Store],
        decider: Decider,
        watch: CodeWatch,
        outbox: Outbox,
        *,
        worker_id: Callable[[], int],
        clock: Callable[[], float],
        cache_bytes: int,
        on_end: Callable[[Ended], None] | None,
    ) -> None:
        self._shared = shared
        self._loader = Loader(shared, connect, watch)
        self._decider = decider
        self._watch = watch
        self._cache = Cache(cache_bytes, watch.close)
        self._owners = Owners()
        self._outbox = outbox
        self._worker_id = worker_id
        self._clock = clock
        self._on_end = on_end

    # -- what threads want

    def claim(self, key: StepKey, limit: float | None, *, is_last_try: bool) -> Work | None:
        """Takes a step's lease, and catches up with its saga while at it."""
        job = self._shared.claim(key, limit, self._known(key.saga_id))
        if job.work is not None:
            self._prepare(job)
        elif job.state is None:
            self._loader.unknown_sagas.met(key.saga_id)
        elif job.state[0] in CLAIMABLE:
            if not is_last_try or self._shared.is_about_to_be_taken_on:
                raise Busy
            self.advance(key.saga_id, may_grant=False)  # what nobody wants was not dropped
        return job.work

    def advance(
        self, saga_id: UUID, *, may_grant: bool = True, park: str | None = None
    ) -> Work | None:
        """Decides whatever is due for a saga; returns a step for this thread to go on with."""
        if not self._owners.enter(saga_id):
            return None
        return self._own(saga_id, None, may_grant, park)

    def settle(self, attempted: Attempted, *, may_grant: bool) -> Work | None:
        """Records how an attempt ended and advances the saga; returns a step to go on with."""
        saga_id = attempted.work.key.saga_id
        if self._owners.enter(saga_id, tell=False):
            return self._own(saga_id, attempted, may_grant)
        self.record(attempted)
        return self.advance(saga_id, may_grant=may_grant)

    def record(self, attempted: Attempted) -> int | None:
        """Records how an attempt ended; its number in the journal, if it has settled its step."""
        move = attempted.move(self._worker_id())
        job = self._shared.record(move)
        if not job.landed:
            if job.state == (move.before, move.attempt):
                raise Busy
            if job.state != (move.after, move.attempt):
                self._reject(move)
        return job.event if attempted.outcome.is_final else None

    def forget(self) -> None:
        """All that it knows; it can be used again."""
        self._cache.clear()
        self._loader.close()

    # -- one thread has a saga to itself

    def _own(
        self,
        saga_id: UUID,
        attempted: Attempted | None,
        may_grant: bool,
        park: str | None = None,
    ) -> Work | None:
        """A turn, and another for the news of each thread that came meanwhile."""
        try:
            work = self._turn(saga_id, attempted, may_grant, park)
            while not self._owners.leave(saga_id):
                work = self._turn_again(saga_id, work, may_grant)
        except BaseException:
            self._owners.abandon(saga_id)
            raise
        return work

    def _turn_again(self, saga_id: UUID, work: Work | None, may_grant: bool) -> Work | None:
        if work is None:
            return self._turn(saga_id, None, may_grant)
        try:
            self._turn(saga_id, None, may_grant=False)
        except (Busy, psycopg.Error) as error:
            # This thread has a step to run. The sweeper finds what is due.
            log.info("saga %s is left to the sweeper: %s", saga_id, type(error).__name__)
        return work

    def _turn(
        self,
        saga_id: UUID,
        attempted: Attempted | None,
        may_grant: bool,
        park: str | None = None,
    ) -> Work | None:
        """Attempted -> Recorded, or direct -> Decided -> landed; anew after a conflict."""
        live = self._cache.take(saga_id)
        doubted: tuple[int, ...] | None = None
        news = News()
        try:
            for is_anew in (False, *[True] * (_ROUNDS - 1)):
                news = self._record(live, attempted, is_anew)
                live, loaded = self._load(saga_id, live, news)
                if live is None:
                    return None
                news = self._with_evidence(saga_id, news, doubted)
                decided, landed = self._decide_and_land(live, loaded, news, may_grant, park)
                if landed is not None:
                    return self._confirm(live, decided, landed)
                attempted = news.direct
                doubted = _doubted(doubted, decided)
                live = self._go_on_from(live, decided)
            self._watch.close(live)
        except RanTooLong:
            self._watch.close(live)
            if news.direct is not None:
                self.record(news.direct)
            return None  # the saga was parked before its code was interrupted
        except BaseException:
            self._watch.close(live)
            raise
        raise Busy

    # -- the stages

    def _record(self, live: Live | None, attempted: Attempted | None, is_anew: bool) -> News:
        """Outcomes first: of parallel steps, of retries, of sagas this process does not know."""
        if attempted is None:
            return News()
        if live is not None and not is_anew and live.lands_directly(attempted):
            return News(direct=attempted)
        number = self.record(attempted)
        if attempted.work.lost and live is not None:
            # It may be the saga's code that ended those workers: from here on, that is told apart.
            self._watch.close(live)
            return News(was_recorded=True)
        events = live.take_recorded(attempted, number) if live and number else None
        return News(events=events, was_recorded=True)

    def _load(
        self, saga_id: UUID, live: Live | None, news: News
    ) -> tuple[Live | None, Loaded | None]:
        """What may be new; of a saga that compensates, all steps."""
        loaded: Loaded | None = None
        if live is not None and live.run is None and live.status != SagaStatus.COMPENSATING:
            live = None
        if live is None or not news.is_all or live.lacks_rows:
            live, loaded = self._loader.load(saga_id, live)
        if live is not None and live.lacks_rows:
            self._loader.load_rows(live)
        return live, loaded

    def _go_on_from(self, live: Live, decided: Decision) -> Live | None:
        """Of a decision that did not land: what the next one may begin with."""
        if isinstance(decided, Decided) and live.stays_ahead(decided):
            return live
        self._watch.close(live)
        return None

    def _with_evidence(self, saga_id: UUID, news: News, positions: tuple[int, ...] | None) -> News:
        def read(store: Store) -> Evidence:
            stored = store.arguments(saga_id, positions or ())
            arguments = {position: stored.get(position) for position in positions or ()}
            return Evidence(arguments, store.other_pythons(saga_id))

        return news if positions is None else news._replace(evidence=self._shared.call(read))

    def _decide_and_land(
        self, live: Live, loaded: Loaded | None, news: News, may_grant: bool, park: str | None
    ) -> tuple[Decision, Landed | None]:
        """What follows at once from an outcome, with the other threads' batch; else by itself."""
        may_grant = may_grant and not self._shared.is_refused
        decide = partial(self._decide, live, loaded, news, may_grant, park)
        if loaded is None and news.direct and self._watch.is_quick(live):
            job = self._shared.decide(decide)
            decided = job.decided
            if job.to_land is not None:
                return decided, job.landed
        else:
            decided = decide()
        if isinstance(decided, Decided) and decided.turns_round:
            self._loader.load_rows(live)
            decided = self._decider.turn_round(live, decided, news)
        return decided, self._land(live, decided)

    def _decide(
        self, live: Live, loaded: Loaded | None, news: News, may_grant: bool, park: str | None
    ) -> Decision:
        if park is not None and live.status in FORWARD:
            return self._decider.park(live, news, park)
        return self._decider.decide(live, loaded, news, may_grant=may_grant)

    def _land(self, live: Live, decided: Decision) -> Landed | None:
        """All of a decision, or nothing: then None, and the saga is to be decided upon anew."""
        if isinstance(decided, Doubted | RecordFirst):
            return None
        if isinstance(decided, Held):
            held = decided
            self._shared.call(
                lambda store: store.block_failures(live.saga_id, held.seen, held.block)
            )
            return None
        if isinstance(decided, AskedAgain):
            self._ask_again(live.saga_id, decided)
            return None
        if isinstance(decided, Decided) and decided.landing is not None:
            return self._shared.land(decided)
        if isinstance(decided, Decided) and decided.wakeups:
            self._outbox.publish(decided.wakeups)
            self._outbox.send()
        return live.as_landed

    def _ask_again(self, saga_id: UUID, decided: AskedAgain) -> None:
        failpoint("P19")
        children = self._shared.call(
            lambda store: store.ask_again(saga_id, decided.seen, decided.steps)
        )
        failpoint("P20")
        wakeups = [WakeUp(child.queue, ADVANCE, child.id) for child in children]
        self._outbox.publish([*decided.wakeups, *wakeups])
        self._outbox.send()

    def _confirm(self, live: Live, decided: Decision, landed: Landed) -> Work | None:
        """The saga moves on in memory as it has in the database."""
        grant = None
        if isinstance(decided, Decided):
            if decided.landing is not None:
                live.confirm(decided, decided.landing, landed)
            grant = decided.grant
            self._go_on_after(live, decided)
        if live.has_ended or not (live.has_kept_up or live.status == SagaStatus.COMPENSATING):
            self._watch.close(live)
        else:
            self._cache.keep(live)
        if grant is None or grant.fence == live.seen.fence:
            return grant
        return grant._replace(fence=live.seen.fence)

    def _go_on_after(self, live: Live, decided: Decided) -> None:
        """What a landing sets in motion; what fails of it the sweeper finds."""
        try:
            if decided.turns_round_now:
                failpoint("P15")
            tell_of_failure(live, decided.cause)
            if decided.has_more or (decided.ends and live.parent is not None):
                self._shared.call(lambda store: after_landing(live, decided, store, self._outbox))
            if decided.ends and self._on_end is not None:
                self._on_end(self._ended(live))
        except Exception as error:  # this thread has a step to go on with
            log.warning("after a landing of saga %s: %s", live.saga_id, type(error).__name__)

    # -- besides

    def _known(self, saga_id: UUID) -> Known | None:
        """What a claim need not read of its saga; None: nothing, as another thread is at it."""
        if self._owners.has(saga_id):
            return None
        return self._cache.known(saga_id) or Known(saga_id)

    def _prepare(self, job: ClaimJob) -> None:
        """Catches up with the saga of a claimed step now, so that its outcome lands directly."""
        saga_id, loaded = job.key.saga_id, job.loaded
        if loaded is None or loaded.is_large or not self._owners.enter(saga_id, tell=False):
            return
        live = self._cache.take(saga_id)
        if live is None and job.known == Known(saga_id):
            live = Live.of(loaded)
        elif live is not None and live.known == job.known and not live.is_rewritten(loaded):
            live.take(loaded)
        elif live is not None:
            self._watch.close(live)
            live = None
        if live is not None and self._decider.catch_up(live, loaded):
            self._cache.keep(live)
        elif live is not None:
            self._watch.close(live)
        if not self._owners.leave(saga_id):
            self._take_in_news(saga_id)

    def _take_in_news(self, saga_id: UUID) -> None:
        """Of a thread that has a step to run, and must get to it whatever becomes of the news."""
        try:
            self._own(saga_id, None, may_grant=False)
        except (Busy, psycopg.Error) as error:
            log.info("saga %s is left to the sweeper: %s", saga_id, type(error).__name__)

    def _reject(self, move: Move) -> None:
        """A late outcome changes nothing; but an effect that was taken for none is to be undone."""
        ended = "failed" if move.after == "retrying" else move.after
        reason = f"late {ended} of attempt {move.attempt}"
        reason += f": {move.reason}" if move.reason else ""

        def keep(store: Store) -> None:
            if not store.note_rejected(move, reason):
                return
            if not move.key.undo and (move.after == "succeeded" or move.in_doubt):
                news = store.keep_effect(move.key, move.result)
                if news is not None:
                    self._outbox.publish([WakeUp(news[1], ADVANCE, news[0])])

        self._shared.call(keep)

    def _ended(self, live: Live) -> Ended:
        return Ended(
            live.saga_id,
            live.name,
            live.version,
            live.status,
            max(0.0, self._clock() - live.started_at),
            live.traceparent,
            lambda: self._shared.call(lambda store: store.course(live.saga_id)),
        )


def _doubted(before: tuple[int, ...] | None, decided: Decision) -> tuple[int, ...] | None:
    """The positions whose arguments are to be read; None: nothing is in doubt."""
    return (*(before or ()), *decided.positions) if isinstance(decided, Doubted) else before
