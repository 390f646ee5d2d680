"""The life of a batch: claim, record what cannot be decided upon yet, load, decide, land, wake up.

Everything is optimistic. A decision is made from what this process knows and lands only if that was
all there was to know; otherwise the outcome is recorded by itself, the saga is loaded and decided
upon again.
"""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.core.states import CLAIMABLE
from saga.engine.advance import after_landing
from saga.engine.advance.decider import Decider
from saga.engine.advance.leases import Leases
from saga.engine.advance.live import Cache, Live
from saga.engine.advance.loader import Loader, UnknownSagas
from saga.engine.advance.request import Request
from saga.engine.advance.turn import Turn
from saga.engine.attempt.work import Ended, Work
from saga.failpoint import failpoint
from saga.storage import workers
from saga.storage.hot.rows import Claimed, Landed, Landing, Move, Seen
from saga.storage.hot.store import Store
from saga.storage.turning.late_effects import keep_effect
from saga.storage.turning.take_back import block_failures
from saga.wakeups.bell import Ringer
from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.outbox import Outbox

_ROUNDS = 4  # conflicts one batch settles by itself before its threads wait for their turn


class Advancer:
    """Serves the requests of a batch over one connection. For one thread at a time."""

    def __init__(
        self,
        connect: Callable[[], Store],
        decider: Decider,
        leases: Leases,
        outbox: Outbox,
        *,
        worker_id: Callable[[], int],
        on_refused: Callable[[int], bool],
        clock: Callable[[], float],
        cache_size: int,
        on_end: Callable[[Ended], None] | None,
    ) -> None:
        self._connect = connect
        self._store: Store | None = None
        self._decider = decider
        self._leases = leases
        self._outbox = outbox
        self._worker_id = worker_id
        self._on_refused = on_refused
        self._clock = clock
        self._cache = Cache(cache_size)
        self._unknown_sagas = UnknownSagas()
        self._loader = Loader(self._ready, self._cache, self._unknown_sagas)
        self._ringer = Ringer(clock)
        self._on_end = on_end

    def release_strays(self) -> int:
        """Gives up leases that no thread is at; how many."""
        abandoned = self._leases.abandoned
        moves = self._leases.strays(self._ready().held_by(self._worker_id()))
        landed = self._ready().record_each(moves) if moves else {}
        self._leases.have_no_strays([m.key for m in moves if m.key not in landed], abandoned)
        self._ringer.plan([self._clock()] * len(landed), self._ready())
        return len(landed)

    def note(self, key: StepKey, why: str) -> None:
        """Writes beside a step why it does not go on."""
        self._ready().note(key, why)

    def disconnect(self) -> None:
        """Forgets what it knows; it can be used again."""
        self._cache.clear()
        if self._store is not None:
            self._store.connection.close()
            self._store = None

    @property
    def connection(self) -> psycopg.Connection:
        return self._ready().connection

    def _ready(self) -> Store:
        if self._store is None or self._store.connection.closed:
            self._store = self._connect()
        return self._store

    def process(self, batch: list[Request]) -> None:
        """What has its work when this raises, has it all the same: its thread goes on."""
        try:
            refused = self._claim([r for r in batch if r.claim is not None])
            self._record(_turns([r for r in batch if r.alone], ()))
            rest = [r for r in batch if r.claim is None and not r.alone]
            self._take_turns(_turns(rest, refused))
        except psycopg.errors.LockNotAvailable:
            for request in batch:
                self._cache.drop(request.saga_id)
            if len(batch) == 1:
                batch[0].busy = batch[0].locked = batch[0].work is None
                return
            self._process_each(batch)
        except psycopg.OperationalError:
            self.disconnect()
            raise
        except psycopg.Error:
            self._cache.clear()
            if len(batch) == 1:
                raise
            self._process_each(batch)
        except BaseException:
            self._cache.clear()  # a coroutine may be ahead of what was written
            raise

    def _process_each(self, batch: list[Request]) -> None:
        """One request of the batch is poison, or its saga is locked: only that one may fail or
        wait.
        """
        for request in (r for r in batch if r.work is None):
            try:
                self.process([request])
            except psycopg.Error as error:
                request.error = error

    def _claim(self, requests: list[Request]) -> list[Turn]:
        if not requests:
            return []
        wanted = {r.claim: r for r in requests if r.claim is not None}
        failpoint("P5")
        claimed = self._ready().claim(
            [(key, r.limit) for key, r in wanted.items()], self._worker_id()
        )
        blind = [row.key for row in claimed if row.undo and row.result is None]
        results = self._ready().results(blind) if blind else {}
        for row in claimed:
            request = wanted[row.key]
            request.work = self._leases.grant(
                Work(
                    row.key,
                    row.saga_name,
                    row.intent,
                    row.attempt,
                    row.fence,
                    row.in_doubt,
                    row.result or results.get((row.saga_id, row.position)),
                    row.forgiven,
                    row.lost,
                    row.traceparent,
                )
            )
        self._prepare(claimed)
        return self._refused({key: r for key, r in wanted.items() if r.work is None})

    def _refused(self, missed: dict[StepKey, Request]) -> list[Turn]:
        """Sagas that refuse a step which could run: what nobody wants was not dropped."""
        refused: list[UUID] = []
        states = self._ready().states(list(missed)) if missed else {}
        waits = bool(states) and self._is_refused() and self._on_refused(self._worker_id())
        for key in missed.keys() - states.keys():
            self._unknown_sagas.met(key.saga_id)
        for key, (state, _) in states.items():
            if state in CLAIMABLE and (waits or missed[key].tries < 3):
                missed[key].busy = True
            elif state in CLAIMABLE:
                refused.append(key.saga_id)
        return [Turn(saga_id) for saga_id in dict.fromkeys(refused)]

    def _is_refused(self) -> bool:
        """Whether this worker was taken for dead, or has signed off."""
        return workers.has_ended(self._ready().connection, self._worker_id())

    def _prepare(self, claimed: Sequence[Claimed]) -> None:
        """Catches up with the sagas of claimed steps now, while a batch is at it: their outcomes
        then land in one statement.
        """
        stale = [row.saga_id for row in claimed if self._is_stale(row)]
        turns = [Turn(saga_id, live=self._cache.get(saga_id)) for saga_id in dict.fromkeys(stale)]
        self._loader.load(turns)
        for turn in turns:
            if turn.live is not None and not self._decider.catch_up(turn):
                self._cache.drop(turn.saga_id)

    def _is_stale(self, row: Claimed) -> bool:
        """Not so if the saga is wide: others settle meanwhile, and reading early is in vain."""
        live = self._cache.get(row.saga_id)
        if live is None:
            return True
        return len(live.open) <= 1 and live.seen != Seen(row.events, row.applied, row.fence)

    def _take_turns(self, turns: list[Turn]) -> None:
        for _ in range(_ROUNDS):
            if not turns:
                return
            for turn in turns:
                turn.live = self._cache.get(turn.saga_id)
            self._record([t for t in turns if t.must_record])
            self._loader.load([t for t in turns if t.must_load])
            turns = self._land([t for t in turns if self._decider.decide(t)])
        for turn in turns:
            turn.give_up()

    def _record(self, turns: Sequence[Turn]) -> None:
        """Outcomes first: of parallel steps, of retries, of sagas this process does not know."""
        moves = {move.key: (turn, move) for turn in turns for move in turn.moves(self._worker_id())}
        if not moves:
            return
        landed = self._ready().record([move for _, move in moves.values()])
        failpoint("P9", self._ready().connection)
        refused = [move for key, (_, move) in moves.items() if key not in landed]
        gone = self._gone(refused) if refused else set[StepKey]()
        for key, (turn, _) in moves.items():
            turn.was_recorded(key, landed.get(key), key in landed or key in gone)
        for turn in turns:
            turn.take_own_news()
        now = self._clock()
        pauses = [move.due_in for key, (_, move) in moves.items() if key in landed]
        self._ringer.plan([now + s for s in pauses if s is not None], self._ready())

    def _gone(self, refused: list[Move]) -> set[StepKey]:
        """Those that need no new try: they had landed, or the lease is another's by now."""
        states = self._ready().states([move.key for move in refused])
        gone: set[StepKey] = set()
        for move in refused:
            state, attempt = states.get(move.key, (None, None))
            if attempt == move.attempt and state == move.before:
                continue  # only busy
            gone.add(move.key)
            if not (attempt == move.attempt and state == move.after):
                self._reject(move)
        return gone

    def _reject(self, move: Move) -> None:
        """A late outcome changes nothing; but an effect that was taken for none is to be undone."""
        ended = "failed" if move.after == "retrying" else move.after
        reason = f"late {ended} of attempt {move.attempt}"
        if not self._ready().note_rejected(
            move, f"{reason}: {move.reason}" if move.reason else reason
        ):
            return
        if not move.key.undo and (move.after == "succeeded" or move.in_doubt):
            news = keep_effect(self._ready().connection, move.key, move.result)
            if news is not None:
                self._outbox.publish([WakeUp(news[1], ADVANCE, news[0])])

    def _land(self, turns: list[Turn]) -> list[Turn]:
        """Lands decisions; returns the turns that have to be taken again."""
        self._loader.load_rows([t for t in turns if t.needs_rows])
        for turn in turns:
            if turn.needs_rows:
                self._decider.decide_undo(turn)
            if turn.hold is not None and turn.hold.block:
                block_failures(self._ready(), turn.saga_id, turn.hold.seen, turn.hold.block)
        landings = [t.landing for t in turns if t.landing is not None]
        landed = self._write(landings, turns) if landings else dict[UUID, Landed]()
        failpoint("P9", self._ready().connection)
        failpoint("P10")
        wakeups: list[WakeUp] = []
        ended: list[UUID] = []
        again: list[Turn] = []
        for turn in turns:
            if turn.goes_on:
                turn.goes_on = False
                self._cache.drop(turn.saga_id)
                again.append(turn)
            elif turn.landing is None or turn.saga_id in landed:
                wakeups += self._confirm(turn, landed.get(turn.saga_id))
                if turn.has_ended and landed[turn.saga_id].awaited:
                    ended.append(turn.saga_id)
            else:
                self._cache.drop(turn.saga_id)
                turn.start_over()
                again.append(turn)
        self._outbox.publish(wakeups, ended)
        planned = [a.due for one in landings if one.saga_id in landed for a in one.asked if a.due]
        self._ringer.plan(planned, self._ready())
        return again

    def _write(self, landings: list[Landing], turns: list[Turn]) -> dict[UUID, Landed]:
        """What landed."""
        landed = self._ready().land(landings, self._worker_id())
        if any(one.grants for one in landings if one.saga_id not in landed) and self._is_refused():
            self._on_refused(self._worker_id())
            for request in (request for turn in turns for request in turn.requests):
                request.may_go_on = False
        return landed

    def _confirm(self, turn: Turn, landed: Landed | None) -> Iterable[WakeUp]:
        turn.confirm(landed)
        for request, work in turn.grants:
            request.work = self._leases.grant(turn.as_landed(work))
        after_landing.after_landing(turn, self._ready(), self._outbox)
        live = turn.live
        if live and turn.has_ended and self._on_end is not None:
            self._on_end(self._ended(live))
        if turn.has_ended or (live and live.run is None and live.status != "compensating"):
            self._cache.drop(turn.saga_id)
        return turn.wakeups

    def _ended(self, live: Live) -> Ended:
        return Ended(
            live.saga_id,
            live.name,
            live.version,
            live.status,
            max(0.0, self._clock() - live.started_at),
            live.traceparent,
            lambda: self._ready().course(live.saga_id),
        )


def _turns(requests: Iterable[Request], others: Iterable[Turn]) -> list[Turn]:
    turns = {turn.saga_id: turn for turn in others}
    for request in requests:
        turn = turns.get(request.saga_id)
        if turn is None:
            turn = turns[request.saga_id] = Turn(request.saga_id)
        turn.requests.append(request)
    return list(turns.values())
