"""Where a step that is asked for goes: to a thread of this process, or out by a wake-up."""

from saga.core.loop.commands import Ask
from saga.core.rows import StepKey
from saga.engine.advance.request import Request
from saga.engine.advance.turn import Turn
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Work
from saga.storage.hot.rows import Landing, NewStep
from saga.wakeups.message import WakeUp

REISSUE_IN = 2.0  # seconds until the sweeper takes a wake-up for lost, the first time
CHILD_CHECK_IN = 1.0


class Dispatcher:
    """Knows what this process can run, and for which queues."""

    def __init__(self, catalog: Catalog, serves: frozenset[str]) -> None:
        self._catalog = catalog
        self._serves = serves

    def serves(self, queue: str) -> bool:
        return queue in self._serves

    def ask(
        self,
        turn: Turn,
        landing: Landing,
        ask: Ask,
        slots: list[Request],
        result: str | None = None,
    ) -> NewStep:
        """Puts what is asked for into a landing. `result`: what the step returned, of an undo."""
        kind = ask.intent.kind
        turn.opened[ask.position, ask.undo] = kind
        if kind == "step":
            state, due_in = self._dispatch(turn, landing, ask, slots, result)
        else:
            state, due_in = "waiting", CHILD_CHECK_IN if kind == "child" else None
        new = NewStep(ask.position, ask.undo, ask.intent, state, ask.after, ask.due, due_in)
        landing.asked.append(new)
        return new

    def _dispatch(
        self, turn: Turn, landing: Landing, ask: Ask, slots: list[Request], result: str | None
    ) -> tuple[str, float | None]:
        """To a thread of this batch, or by a wake-up. Returns state and due_in."""
        key = StepKey(turn.saga_id, ask.position, ask.undo)
        name, queue, live = ask.intent.name, ask.intent.queue or "", turn.live
        if live and slots and queue in self._serves and self._catalog.can_run(name, ask.undo):
            work = Work(
                key,
                live.name,
                ask.intent,
                1,
                landing.seen.fence,
                result=result,
                traceparent=live.traceparent,
            )
            turn.grants.append((slots.pop(), work))
            return "running", self._catalog.limit(name, ask.undo)
        turn.wakeups.append(WakeUp.for_step(queue, name, key))
        return "ready", REISSUE_IN
