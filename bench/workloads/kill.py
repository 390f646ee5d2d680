"""Death: kill -9 of one of two workers while they are busy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.engine import STEPS, Engine
from bench.layout import MAIN, Layout
from bench.sizes import Sizes
from bench.waiting import settled
from bench.workloads.workload import BODIES, ENDED, NOISE, Metric, Workload

SLOTS = 8
KILL_AT = 0.3


class Kill(Workload):
    """Once undisturbed and once with the kill; a supervisor restarts the victim at once.

    What ended is read from the ledger of the bodies. An engine that makes no progress for
    some seconds is taken to be stuck, and `missing` counts what it never finished.
    """

    name = "kill"
    workflow = "slow"
    layout = Layout(((MAIN,), (MAIN,)), slots=SLOTS)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "calm": Metric("seconds without"),
        "extra": Metric("extra seconds"),
        "missing": Metric("never finished", digits=0),
        "doubled": Metric("bodies finished twice", digits=0),
    }

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self._wanted = sizes.kill * STEPS

    def measure(self, engine: Engine) -> dict[str, float]:
        with engine.metered() as meter:
            calm = self._run(engine, "calm", kill=False)
            hurt = self._run(engine, "hurt", kill=True)
        missing = self.sizes.kill - self._complete(engine, "hurt")
        return {
            "calm": calm,
            "extra": float("nan") if missing else hurt - calm,
            "missing": missing,
            "doubled": engine.stage.ledger.doubled(),
            NOISE: meter.noise,
            BODIES: 2 * self._wanted,
            ENDED: self.sizes.kill - missing,
        }

    def _run(self, engine: Engine, prefix: str, *, kill: bool) -> float:
        bodies = lambda: len(self._bodies(engine, prefix))  # noqa: E731
        engine.submit(self.workflow, self.keys(self.sizes.kill, prefix))
        if kill:
            settled(bodies, int(self._wanted * KILL_AT), self.sizes.patience)
            engine.workers[0].kill()
            engine.workers[0].restart()
        settled(bodies, self._wanted, self.sizes.patience)
        times = [entry.at for entry in engine.stage.ledger.entries() if self._is(entry.key, prefix)]
        return max(times) - min(times)

    def _bodies(self, engine: Engine, prefix: str) -> set[tuple[str, int]]:
        entries = engine.stage.ledger.entries()
        return {(entry.key, entry.step) for entry in entries if self._is(entry.key, prefix)}

    def _complete(self, engine: Engine, prefix: str) -> int:
        return sum(1 for _key, step in self._bodies(engine, prefix) if step == STEPS)

    def _is(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)
