"""What the database knows of sagas beyond what this process has seen of them."""

import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from saga.core.undo.plan import EVERYTHING
from saga.engine.advance.live import Cache, Live
from saga.engine.advance.turn import Turn
from saga.storage.hot.rows import Loaded
from saga.storage.hot.store import Store

log = logging.getLogger("saga.wakeups")

_EVERY = 60.0  # seconds


class UnknownSagas:
    """Says that they come, at most once a minute.

    Two installations that share a broker's database take each other's wake-ups: nothing is lost, as
    the sweeper sends them again, but everything is late, and nobody would know why.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def met(self, saga_id: UUID) -> None:
        """A wake-up came for this one."""
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _EVERY
        log.warning(
            "a wake-up came for saga %s, which is not in this database: unless it was pruned,"
            " or lost with a failover, another installation uses the same broker database, and each"
            " takes the other's",
            saga_id,
        )


class Loader:
    """Catches turns up with the database, one statement for all of them."""

    def __init__(
        self, store: Callable[[], Store], cache: Cache, unknown_sagas: UnknownSagas
    ) -> None:
        self._store = store
        self._cache = cache
        self._unknown_sagas = unknown_sagas

    def load(self, turns: Sequence[Turn]) -> None:
        """Their sagas with what is new; all of it where somebody has rewritten the journal."""
        if not turns:
            return
        wanted = {
            t.saga_id: (t.live.seen.events, t.live.last_position) if t.live else (-1, -1)
            for t in turns
        }
        found = {
            row.saga_id: row
            for row in self._store().load((saga_id, *known) for saga_id, known in wanted.items())
        }
        stale = [t for t in turns if t.live and _is_rewritten(t.live, found.get(t.saga_id))]
        for turn in stale:
            self._cache.drop(turn.saga_id)
            turn.live = None
        for row in self._store().load((t.saga_id, -1, -1) for t in stale) if stale else ():
            found[row.saga_id] = row
        for turn in turns:
            self._take_in(turn, found.get(turn.saga_id))
        self.load_rows([t for t in turns if t.live and t.live.status == "compensating"])

    def load_rows(self, turns: Sequence[Turn]) -> None:
        """All steps of their sagas, and what an operator chose of them."""
        if turns:
            rows = self._store().load_steps([t.saga_id for t in turns])
            chosen = [t.saga_id for t in turns if t.live and t.live.undo_cause == "operator"]
            choices = self._store().choices(chosen) if chosen else {}
            for turn in turns:
                if turn.live:
                    turn.live.rows = rows[turn.saga_id]
                    turn.live.choice = choices.get(turn.saga_id, EVERYTHING)

    def _take_in(self, turn: Turn, loaded: Loaded | None) -> None:
        if loaded is None:
            self._unknown_sagas.met(turn.saga_id)
            turn.live = None
            return
        if turn.live is None:
            turn.live = Live.of(loaded)
            self._cache.put(turn.live)
        else:
            turn.live.take(loaded)
        turn.loaded = loaded
        if turn.doubt:
            turn.arguments = self._store().arguments(turn.saga_id, turn.doubt)


def _is_rewritten(live: Live, row: Loaded | None) -> bool:
    """Somebody stepped in, and may have taken a failure out of the journal we applied."""
    if row is None or row.seen.fence == live.seen.fence:
        return False
    return not live.status == row.status == "compensating"
