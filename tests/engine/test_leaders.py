"""A thread that leads the others' batch, and is held up by another's saga while it does."""

import threading
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.advance.code_watch import CodeWatch
from saga.engine.advance.leases import Leases
from saga.engine.advance.shared_store import SharedStore
from saga.engine.advance.stages import Decided
from saga.engine.attempt.work import Work
from saga.storage.hot.rows import Claimed, Landed, Landing, Seen
from saga.storage.hot.store import Store

PATIENCE = 30.0
SEEN = Seen(0, 0, 0)
SAGA = uuid4()
KEY = StepKey(SAGA, 1, False)
INTENT = Intent("step", "pack")


class StubStore:
    """All that is wanted lands at once."""

    class connection:  # noqa: N801
        closed = False

    def land(self, landings: list[Landing], worker_id: int) -> dict[UUID, Landed]:
        del worker_id
        return {landing.saga_id: Landed(False, 0, 1) for landing in landings}

    def claim(self, wanted: list[tuple[StepKey, float | None]], _: int) -> list[Claimed]:
        return [
            Claimed(*key, INTENT, 1, False, "order", 0, 0, 0, 0, 0, None, None) for key, _ in wanted
        ]

    def states(self, keys: list[StepKey]) -> dict[StepKey, tuple[str, int]]:
        del keys
        return {}


def decision(saga_id: UUID, grant: Work | None = None) -> Decided:
    return Decided(Landing(saga_id, SEEN, "running"), grant)


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def shared(leases: Leases) -> SharedStore:
    outbox: Any = type("Outbox", (), {"send": lambda _: None, "publish": lambda *_: None})()
    return SharedStore(
        lambda: cast("Store", StubStore()),
        leases,
        outbox,
        worker_id=lambda: 1,
        on_refused=lambda _: False,
        clock=lambda: 0.0,
        watch=CodeWatch(),
    )


def decides(shared: SharedStore) -> Work | None:
    job = shared.decide(lambda: decision(SAGA, Work(KEY, "order", INTENT, 1, 0)))
    assert job.landed is not None
    return job.to_land and job.to_land.grant


def claims(shared: SharedStore) -> Work | None:
    return shared.claim(KEY, None, None).work


@pytest.mark.parametrize("wants", [decides, claims])
def test_it_holds_no_lease_meanwhile(
    shared: SharedStore, leases: Leases, wants: Callable[[SharedStore], Work | None]
) -> None:
    """That would run out; now others take the step up."""
    begins, goes_on = threading.Event(), threading.Event()
    is_at_it, may_end = threading.Event(), threading.Event()
    granted: list[Work | None] = []
    waiting = shared._group._waiting

    def first(_: Store) -> None:
        begins.set()
        assert goes_on.wait(PATIENCE)

    def hang() -> Decided:
        is_at_it.set()
        assert may_end.wait(PATIENCE)
        return decision(uuid4())

    threads: list[threading.Thread] = []

    def starts(work: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()

    starts(lambda: shared.call(first))
    assert begins.wait(PATIENCE)
    for number, work in enumerate(
        (
            lambda: granted.append(wants(shared)),  # leads the next batch
            lambda: shared.decide(hang),
            lambda: shared.decide(lambda: decision(uuid4())),
        )
    ):
        starts(work)
        until(lambda number=number: len(waiting) == number + 1)
    goes_on.set()
    assert is_at_it.wait(PATIENCE)
    threads[3].join(PATIENCE)
    assert not threads[3].is_alive(), "it leads in the place of the one that is held up"
    assert len(leases) == 0
    may_end.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert granted == [None]


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if holds():
            return
        pause.wait(0.005)
    raise AssertionError
