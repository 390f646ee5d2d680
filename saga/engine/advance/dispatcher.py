"""Where a step that is asked for goes: to the thread that decides, or out by a wake-up."""

from saga.core.loop.commands import Ask
from saga.core.rows import StepKey
from saga.engine.advance.live import Live
from saga.engine.advance.stages import Decided
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
        live: Live,
        decided: Decided,
        landing: Landing,
        ask: Ask,
        *,
        may_grant: bool = True,
        result: str | None = None,
    ) -> NewStep:
        """Puts what is asked for into a landing. `result`: what the step returned, of an undo."""
        kind = ask.intent.kind
        decided.opened[ask.position, ask.undo] = kind
        due_in = CHILD_CHECK_IN if kind == "child" else None
        state = "waiting"
        if kind == "step":
            key = StepKey(live.saga_id, ask.position, ask.undo)
            if may_grant and decided.has_slot and self._can_run(ask):
                state, due_in = "running", self._catalog.limit(ask.intent.name, ask.undo)
                decided.grant = Work(
                    key,
                    live.name,
                    ask.intent,
                    1,
                    landing.seen.fence,
                    result=result,
                    traceparent=live.traceparent,
                )
            else:
                state, due_in = "ready", REISSUE_IN
                wakeup = WakeUp.for_step(ask.intent.queue or "", ask.intent.name, key)
                decided.wakeups.append(wakeup)
        new = NewStep(ask.position, ask.undo, ask.intent, state, ask.after, ask.due, due_in)
        landing.asked.append(new)
        return new

    def _can_run(self, ask: Ask) -> bool:
        is_mine = ask.intent.queue in self._serves
        return is_mine and self._catalog.can_run(ask.intent.name, ask.undo)
