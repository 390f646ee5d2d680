"""What the database knows of sagas beyond what this process has seen of them."""

from collections.abc import Callable, Sequence

from saga.core.undo.plan import EVERYTHING
from saga.engine.live import Cache, Live
from saga.engine.strangers import Strangers
from saga.engine.turn import Turn
from saga.storage.hot.rows import Loaded
from saga.storage.hot.store import Store


class Loader:
    """Catches turns up with the database, one statement for all of them."""

    def __init__(self, store: Callable[[], Store], cache: Cache, strangers: Strangers) -> None:
        self._store = store
        self._cache = cache
        self._strangers = strangers

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
            self._strangers.met(turn.saga_id)
            turn.live = None
            return
        if turn.live is None:
            turn.live = Live.of(loaded)
            self._cache.put(turn.live)
        else:
            turn.live.take(loaded)
        turn.loaded = loaded


def _is_rewritten(live: Live, row: Loaded | None) -> bool:
    """Somebody stepped in, and may have taken a failure out of the journal we applied."""
    if row is None or row.seen.fence == live.seen.fence:
        return False
    return not live.status == row.status == "compensating"
