"""Everything at once, as long as it takes; then the faults stop, and all must come to its end."""

import random
from collections import Counter
from contextlib import ExitStack

from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.storm import storm
from tests.faults.unreliable import VARIABLE

_ROUNDS = 8


def test_everything_at_once(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    seed = random.randrange(2**32)
    print("chaos seed:", seed)  # noqa: T201 - shown with a failure, to repeat it
    unreliable = {VARIABLE: f"2:0.2:{seed}"}
    for _ in range(3):
        arena.worker(environment=unreliable)
    arena.ready()

    def cut(chance: random.Random) -> None:
        arena.records.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'saga %%' "
            "AND random() < %s",
            chance.random() / 2,
        )

    letters = [arena.start(sagas.letters, _ROUNDS, key=f"letters {n}") for n in range(3)]
    with ExitStack() as storms:
        strikes = [
            storms.enter_context(storm(lambda _: own_stack.redis.flushall(), pause=0.7, seed=seed)),
            storms.enter_context(storm(cut, pause=0.5, seed=seed)),
            storms.enter_context(
                storm(
                    lambda _: arena.replace_a_worker(environment=unreliable), pause=1.5, seed=seed
                )
            ),
        ]
        for round_ in range(_ROUNDS):
            for saga in (sagas.voyage, sagas.transfer):
                arena.start(saga, key=f"{saga.name} {round_}")
            arena.start(sagas.trip, 3, fails=True, key=f"fails {round_}")
            arena.start(sagas.entries, 3, key=f"entries {round_}")
            arena.start(sagas.family, 2, key=f"family {round_}")
            arena.start(sagas.naps, 2, 0.1, key=f"naps {round_}")
            for handle in letters:
                arena.persist(handle.signal, "letter", round_, dedup_id=str(round_))
            arena.until(lambda: len(arena.records.open()) < 25, "they keep up")
        arena.until(lambda: all(s.strikes >= 3 for s in strikes), "each fault has struck")
    ends = Counter(arena.until_over().values())
    assert ends == {"compensated": _ROUNDS, "completed": 7 * _ROUNDS + len(letters)}
    assert all(handle.result(1) == list(range(_ROUNDS)) for handle in letters)
    assert set(arena.entered().values()) == {1}
