"""The turns: every engine on every workload, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.engine import Engine
from bench.profile import Profile
from bench.sizes import Sizes
from bench.stage import Stage
from bench.table import Result
from bench.workloads import WORKLOADS
from bench.workloads.workload import BODIES, Workload


class Runner:
    """Runs turns on one stage."""

    def __init__(self, stage: Stage, sizes: Sizes, profile: Profile | None = None) -> None:
        self._stage = stage
        self._sizes = sizes
        self._profile = profile

    def run(
        self,
        workloads: Sequence[str],
        engines: Sequence[type[Engine]],
        repeat: int,
        heard: Callable[[Result], None],
    ) -> list[Result]:
        """Each workload `repeat` times, the engines taking turns; `heard` gets each result."""
        results: list[Result] = []
        for workload, engine in self._turns(workloads, engines, repeat):
            result = self._turn(workload, engine)
            heard(result)
            results.append(result)
        return results

    def _turns(
        self, workloads: Sequence[str], engines: Sequence[type[Engine]], repeat: int
    ) -> Iterator[tuple[Workload, type[Engine]]]:
        for name in workloads:
            workload = WORKLOADS[name](self._sizes)
            for _ in range(repeat):
                for engine in engines:
                    if workload.workflow in engine.workflows:
                        yield workload, engine

    def _turn(self, workload: Workload, kind: type[Engine]) -> Result:
        engine = kind(self._stage)
        try:
            engine.open(workload.layout, workload.workflow, self._sizes.warm)
            if self._profile:
                with self._profile.of(engine) as seen:
                    numbers = workload.measure(engine)
                    seen[BODIES] = int(numbers[BODIES])
            else:
                numbers = workload.measure(engine)
        finally:
            engine.close()
        return Result(workload.name, kind.name, numbers)
