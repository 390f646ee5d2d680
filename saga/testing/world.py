"""A world without servers in which sagas run as in production: the engine itself, on tables in
memory, with a clock that moves when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, Self, TypeVar, overload

from saga.core.declare import registry as registries
from saga.core.declare.calls import Call, take_up
from saga.core.declare.definitions import StepDefinition
from saga.core.declare.registry import Registry
from saga.errors import Permanent, Unknown
from saga.testing.answers import Answers
from saga.testing.crashes import Crash, explore
from saga.testing.faults import Faults
from saga.testing.play import Play
from saga.testing.stand_ins import StandInCatalog, StandIns, Trouble
from saga.testing.tables import Saga
from saga.testing.world_saga import WorldSaga

P = ParamSpec("P")
R = TypeVar("R")


class World:
    """Runs sagas in a test. Everything is the engine's own but the servers: the journal, retries,
    undos, scopes, children, signals and approvals; steps run in the test's own thread.

    ::

        world = World()
        order_ = world.start(order("lamp"))
        world.skip(days=3)
        assert (order_.status, order_.undone) == ("compensated", ["charge", "reserve"])
    """

    def __init__(
        self,
        *,
        now: datetime | None = None,
        connection: Any = None,
        registry: Registry | None = None,
    ) -> None:
        """`now`: when its time begins; `connection`: what `transactional` steps get as theirs. The
        steps and sagas are those that this process has imported.
        """
        self._registry = registry or registries.registry
        self._began = now or datetime.now(UTC)
        self._connection = connection
        self._stand_ins = StandIns()
        self._answers = Answers()
        self._play: Play | None = None
        self._sagas: list[WorldSaga[Any]] = []

    # -- running

    def start(self, call: Coroutine[object, None, R]) -> WorldSaga[R]:
        """Starts a saga, `world.start(order("lamp"))`, and lets it go as far as it can.

        It stops where it waits for a person, or for a time that its code has planned. Retries do
        not wait for anybody: the time that they need passes.
        """
        called = take_up(call)
        play = self._playing()
        saga = WorldSaga[R](play, _started(play, called), called.definition)
        self._sagas.append(saga)
        play.settle()
        return saga

    def run(self, call: Coroutine[object, None, R]) -> R:
        """Starts a saga and returns its result, whatever time that takes: `WorldSaga.result`."""
        return self.start(call).result()

    def crashes(self, call: Coroutine[object, None, R]) -> Iterator[Crash[R]]:
        """Runs a saga once for each thing that can go wrong, to its end each time.

        ::

            for crash in world.crashes(order("lamp")):
                assert crash.stands == [] or crash.status == "completed"

        The worker is killed before and after each write, and each message is lost, doubled and
        late; once with a worker that goes on with the saga by itself, once with one that waits for
        a message at each step. First nothing goes wrong. Each run is a world of its own, with the
        steps that were replaced and the answers that were given here.
        """
        called = take_up(call)

        def begin(faults: Faults, goes_on: bool) -> tuple[Play, Saga]:
            play = self._new_play(faults=faults, goes_on=goes_on)
            return play, _started(play, called)

        return explore(begin, called.definition)

    def skip(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Time passes: timers fire, deadlines come, each at its time."""
        time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        self._playing().skip(time.total_seconds())

    @property
    def now(self) -> datetime:
        """The world's time."""
        return datetime.fromtimestamp(self._playing().tables.now, UTC)

    # -- what came of it

    @property
    def sagas(self) -> list[WorldSaga[Any]]:
        """All that were started here."""
        return list(self._sagas)

    @property
    def stands(self) -> list[str]:
        """The steps whose effect stands, of all sagas; see `WorldSaga.stands`."""
        return [name for saga in self._sagas for name in saga.stands]

    @property
    def undone(self) -> list[str]:
        """The steps that were undone, of all sagas; see `WorldSaga.undone`."""
        return [name for saga in self._sagas for name in saga.undone]

    # -- what is otherwise than in production

    @overload
    def replace(
        self,
        target: StepDefinition[P, R],
        function: Callable[P, R] | Callable[P, Coroutine[Any, Any, R]],
    ) -> None: ...
    @overload
    def replace(self, target: Callable[P, object], function: Callable[P, object]) -> None: ...
    @overload
    def replace(self, target: str, function: Callable[..., object]) -> None: ...
    def replace(self, target: Any, function: Any) -> None:
        """Calls `function` (`def` or `async def`, with the same parameters) in the place of a step,
        a compensation or a probe. A step and a compensation may be given by name, too, here and
        below.
        """
        self._stand_ins.replace(self._catalog().function_of(target), function)

    def fail(
        self, target: Any, error: BaseException | None = None, *, times: int | None = None
    ) -> None:
        """Lets a step, a compensation or a probe fail with `error`, before it has done anything: by
        default for good. With `times` the first so many attempts of each call fail.
        """
        failing = error or Permanent("as the test wants it")
        self._trouble(target, Trouble(failing, times, happens=False))

    def time_out(self, target: Any, *, times: int | None = None, happens: bool = True) -> None:
        """Lets attempts end with a TimeoutError; `happens`: after the code has run."""
        self._trouble(target, Trouble(TimeoutError("in this test"), times, happens))

    def lose(self, target: Any, *, times: int | None = None, happens: bool = True) -> None:
        """Lets the outcome of attempts stay unknown; `happens`: after the code has run."""
        self._trouble(target, Trouble(Unknown("in this test"), times, happens))

    def answer(self, name: str, *answers: Any) -> None:
        """Answers approvals of a name with True, False or a Decision, one after the other and then
        with the last; and sends signals of a name when a saga waits for one, as long as there are.
        """
        self._answers.given[name] = answers

    def _trouble(self, target: Any, trouble: Trouble) -> None:
        self._stand_ins.trouble(self._catalog().function_of(target), trouble)

    # -- within

    def _playing(self) -> Play:
        if self._play is None:
            self._play = self._new_play(answers=self._answers, checked=True)
        return self._play

    def _new_play(self, *, answers: Answers | None = None, **options: Any) -> Play:
        self._stand_ins.forget_attempts()
        return Play(
            self._catalog(),
            self._began.timestamp(),
            answers or self._answers.copy(),
            connection=self._connection,
            **options,
        )

    def _catalog(self) -> StandInCatalog:
        return StandInCatalog(self._registry, self._stand_ins)

    def close(self) -> None:
        """Throws away what still runs; a `with` block does it at its end."""
        if self._play is not None:
            self._play.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _started(play: Play, call: Call) -> Saga:
    definition = call.definition
    input_ = definition.encode_input(call.args, call.kwargs)
    saga_id = play.start(definition.name, definition.version, definition.queue, input_)
    return play.tables.sagas[saga_id]
