"""A plain Celery chain of the same steps: the peer."""

# pyright: reportUnknownVariableType=false
# Celery has no types.

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery, chain, chord, group

from bench.adapters import chain_app
from bench.engine import STEPS, Engine
from bench.layout import HOPS, Layout
from bench.stage import Stage
from bench.waiting import until
from bench.worker import Worker

END_TIMEOUT = 300


class Chain(Engine):
    """Celery with its defaults: prefork, acknowledgements, no result backend."""

    name = "chain"
    workflows = frozenset({"steps", "hops", "undo", "long", "fanout", "slow"})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._warmed = 0
        self._app: Any = Celery()

    def open(self, layout: Layout, workflow: str, warm: int) -> None:
        folder = self.stage.turn()
        environment = self._environment(workflow)
        results = environment[chain_app.RESULTS] or None
        self._app = chain_app.build(environment[chain_app.BROKER], results)
        for number, queues in enumerate(layout.workers):
            command = _command(number, queues, layout.slots or 1)
            self.workers.append(Worker(command, environment, folder / f"worker{number}.log"))
        until(lambda: self._answering() == len(self.workers), "Celery's workers")
        self._warm(workflow, warm)

    def submit(self, workflow: str, keys: Sequence[str], size: int = STEPS) -> None:
        for key in keys:
            self._signature(workflow, key, size, "last").apply_async()

    def ended(self) -> int:
        return int(self.stage.redis.get("ended") or 0) - self._warmed

    def run(self, workflow: str, key: str, size: int = STEPS) -> None:
        self._signature(workflow, key, size, "tell").apply_async()
        if self.stage.redis.blpop([f"ended:{key}"], END_TIMEOUT) is None:
            raise TimeoutError(key)

    def close(self) -> None:
        super().close()
        # Results that are still awaited would reconnect when the interpreter ends.
        gc.collect()
        self._app.close()

    def _environment(self, workflow: str) -> dict[str, str]:
        results = self.stage.redis_database(2) if workflow == "fanout" else ""
        return {
            chain_app.BROKER: self.stage.redis_database(1),
            chain_app.RESULTS: results,
            chain_app.COUNTER: self.stage.redis_database(3),
        }

    def _answering(self) -> int:
        return len(self._app.control.ping(timeout=0.3, limit=len(self.workers)))

    def _warm(self, workflow: str, count: int) -> None:
        keys = [f"warm{number}" for number in range(count)]
        if workflow == "fanout":
            self.run(workflow, keys[0], count)
            return
        self.submit("steps" if workflow in {"long", "slow"} else workflow, keys)
        until(lambda: self.ended() >= count, "the chain's warm-up")
        self._warmed = count

    def _task(self, name: str, *args: Any) -> Any:
        return self._app.tasks[name].si(*args)

    def _signature(self, workflow: str, key: str, size: int, end: str) -> Any:
        last = self._task(end, key)
        before = range(1, size)
        match workflow:
            case "steps":
                return chain(*[self._task("noop", key) for _ in before], last)
            case "hops":
                tasks = [*[self._task("noop", key) for _ in before], last]
                return chain(*[task.set(queue=HOPS[i]) for i, task in enumerate(tasks)])
            case "undo":
                fail = self._task("fail", key).on_error(self._task("undo_all", key))
                return chain(*[self._task("noop", key) for _ in before], fail)
            case "long":
                return chain(*[self._task("mark", key, step) for step in before], last)
            case "slow":
                return chain(*[self._task("nap", key, step) for step in range(1, size + 1)])
            case "fanout":
                each = group([self._task("noop", key) for _ in range(size)])
                return chord(each, self._app.tasks["join"].s(key))
            case _:
                raise ValueError(workflow)


def _command(number: int, queues: Sequence[str], slots: int) -> list[str]:
    program = [sys.executable, "-m", "celery", "-A", "bench.adapters.chain_app", "worker"]
    return [
        *program,
        *("-Q", ",".join(queues), "-c", str(slots), "-n", f"bench{number}@%h"),
        *("--loglevel", "ERROR"),
    ]
