"""Steps that are made of tasks are what the tasks are: queue, name, retries, limits, handlers."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false
# pyright: reportUnusedFunction=false, reportIncompatibleMethodOverride=false
# Celery has no types.

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, Task, signals
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject

from saga import DefinitionError, DefinitionWarning, InvalidInput, Permanent, Retry, step
from saga.core import context
from saga.core.declare.definitions import StepDefinition
from saga.core.declare.registry import registry
from saga.core.declare.retry import TryAgain
from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Work
from saga.execution.found import refuse_pool, users_of_queues
from saga.execution.task_steps import adopt_tasks, is_expected, warn_of_tasks
from saga.wakeups.message import step_of, task_of

KEY = "the key"
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")


@pytest.fixture
def app() -> Generator[Celery]:
    with registry.sandbox():
        yield Celery("shop", set_as_current=False, broker="redis://localhost:1/0")


def attempt(made: StepDefinition[..., Any], *args: Any, tries: int = 1) -> Any:
    """What the engine does with a step."""
    values = made.decode_args(made.parameters.encode(args, {}))
    here = context.StepContext(uuid4(), 1, tries, KEY, "a saga", made.name, None, tries)
    with context.running(here):
        return made.call(values)


class Told(Task):
    """A base class such as projects have."""

    heard: list[Any]

    def before_start(self, task_id, args, kwargs):
        self.heard = [("before_start", task_id, args, kwargs)]

    def __call__(self, *args, **kwargs):
        self.heard.append("called")
        return self.run(*args, **kwargs)

    def on_success(self, retval, task_id, args, kwargs):
        self.heard.append(("on_success", retval))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.heard.append(("on_failure", type(exc), args))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.heard.append(("on_retry", type(exc)))

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.heard.append(("after_return", status))


def test_the_queue_is_where_the_app_routes_the_task(app: Celery) -> None:
    app.conf.task_default_queue = "usual"

    @app.task(shared=False, name="orders.charge")
    def charge() -> None: ...

    @app.task(shared=False, name="orders.refund")
    def refund(done: None) -> None: ...

    @app.task(shared=False, name="mail.send", queue="post")
    def mail() -> None: ...

    @app.task(shared=False, name="sms.send")
    def sms() -> None: ...

    made = step(charge, compensation=refund)
    others = step(mail), step(sms), step(charge, name="mine", queue="own")
    app.conf.task_routes = {"orders.charge": {"queue": "payments"}, "orders.*": "orders"}
    adopt_tasks(app)
    assert made.undo is not None
    assert (made.name, made.queue) == ("orders.charge", "payments")
    assert (made.undo.name, made.undo.queue) == ("orders.refund", "orders")
    assert [(one.name, one.queue) for one in others] == [
        ("mail.send", "post"),
        ("sms.send", "usual"),
        ("mine", "own"),
    ]


def test_a_router_that_wants_arguments_is_refused_by_name(app: Celery) -> None:
    @app.task(shared=False, name="orders.charge")
    def charge(customer: str) -> None: ...

    def router(name, args, kwargs, options, task=None, **_):
        return {"queue": args[0]}

    app.conf.task_routes = (router,)
    step(charge)
    with pytest.raises(DefinitionError, match=r"orders.charge: .* give the step queue="):
        adopt_tasks(app)


def test_an_undo_that_is_a_function_is_in_the_queue_of_its_step(app: Celery) -> None:
    @app.task(shared=False, name="orders.charge")
    def charge() -> None: ...

    made = step(charge)

    @made.compensation
    def refund(done: None) -> None: ...

    app.conf.task_routes = {"orders.charge": "payments"}
    adopt_tasks(app)
    assert made.undo is not None
    assert made.undo.queue == "payments"
    assert made._intent("{}").undo_queue == "payments"
    assert users_of_queues() == {"payments": ["orders.charge", "refund"]}


def test_a_task_retries_as_it_does_with_celery(app: Celery) -> None:
    @app.task(
        shared=False,
        name="pay",
        bind=True,
        base=Told,
        autoretry_for=(OSError,),
        dont_autoretry_for=(FileNotFoundError,),
        max_retries=2,
        retry_backoff=3,
        retry_backoff_max=5,
        retry_jitter=False,
    )
    def pay(self, error: str) -> str:
        assert (self.request.id, self.request.args) == (KEY, (error,))
        raise {"os": OSError, "no": FileNotFoundError, "value": ValueError}[error]

    made = step(pay)
    adopt_tasks(app)
    heard = lambda: made.function.task.heard  # pyright: ignore[reportFunctionMemberAccess] # noqa: E731
    for tries, pause in ((1, 3.0), (2, 5.0)):
        with pytest.raises(TryAgain) as caught:
            attempt(made, "os", tries=tries)
        assert (type(caught.value.cause), caught.value.retry_after) == (OSError, pause)
        assert made.retry.goes_on(caught.value, tries)
        assert heard() == [("before_start", KEY, ("os",), {}), "called", ("on_retry", OSError)]
    for error, tries, kind in (
        ("os", 3, OSError),
        ("no", 1, FileNotFoundError),
        ("value", 1, ValueError),
    ):
        with pytest.raises(kind) as raised:
            attempt(made, error, tries=tries)
        assert not made.retry.goes_on(raised.value, tries)
        assert heard()[2:] == [("on_failure", kind, (error,)), ("after_return", "FAILURE")]


def test_self_retry(app: Celery) -> None:
    def refuse(error: Exception) -> None:
        raise error

    ways: dict[str, Any] = {
        "by default": lambda self: self.retry(),
        "often": lambda self: self.retry(countdown=4, max_retries=7),
        "then": lambda self: self.retry(eta=datetime.now(UTC) + timedelta(minutes=10)),
        "with others": lambda self: self.retry(args=("x",)),
        "replaced": lambda self: self.replace(None),
        "ignored": lambda _: refuse(Ignore()),
        "rejected": lambda _: refuse(Reject("for good", requeue=False)),
        "again": lambda _: refuse(Reject("once more", requeue=True)),
    }

    @app.task(shared=False, name="pay", bind=True, default_retry_delay=9, max_retries=1)
    def pay(self, how: str) -> None:
        ways[how](self)

    made = step(pay)
    adopt_tasks(app)
    for how, tries, pause in (
        ("by default", 1, 9),
        ("often", 7, 4),
        ("then", 1, 600),
        ("again", 1, 0),
    ):
        with pytest.raises(TryAgain) as caught:
            attempt(made, how, tries=tries)
        assert caught.value.retry_after == pytest.approx(pause, abs=60)
        assert made.retry.pause(caught.value, tries, 0.5) == caught.value.retry_after
        assert not made.retry.is_used_up(tries + 1, in_doubt=False)
    with pytest.raises(MaxRetriesExceededError):
        attempt(made, "by default", tries=2)
    for how in ("with others", "replaced", "ignored", "rejected"):
        with pytest.raises(Permanent):
            attempt(made, how)


def test_what_the_declaration_says_holds_in_place_of_the_task_s(app: Celery) -> None:
    @app.task(
        shared=False,
        name="pay",
        bind=True,
        autoretry_for=(LookupError,),
        max_retries=1,
        time_limit=30,
    )
    def pay(self, asks: bool) -> None:
        if asks:
            self.retry(countdown=8)
        raise LookupError

    policy = Retry(max_attempts=3)
    made = step(pay, retry=policy, timeout=timedelta(seconds=5))
    adopt_tasks(app)
    assert (made.retry, made.timeout) == (policy, timedelta(seconds=5))
    with pytest.raises(LookupError):
        attempt(made, False, tries=2)
    with pytest.raises(TryAgain) as caught:
        attempt(made, True, tries=2)
    assert made.retry.goes_on(caught.value, 2)
    assert not made.retry.goes_on(caught.value, 3)


def test_an_unknown_outcome_is_final_unless_somebody_can_be_asked(app: Celery) -> None:
    @app.task(shared=False, name="pay")
    def pay() -> str:
        raise TimeoutError

    def find() -> str | None:
        return "it is paid"

    plain, probed, asked = (
        step(pay),
        step(pay, name="probed"),
        step(pay, name="a", on_unknown="ask"),
    )
    probed.probe(find)
    adopt_tasks(app)
    attempts = Attempts(Catalog(registry))

    def states(name: str) -> list[tuple[str, bool]]:
        first = Work(StepKey(uuid4(), 1, False), "a saga", Intent("step", name), 1, 0)
        outcomes = [attempts.run(first)]
        if outcomes[0].state == "unknown":
            outcomes.append(attempts.run(first._replace(attempt=2, in_doubt=True)))
        return [(outcome.state, outcome.in_doubt) for outcome in outcomes]

    assert states(plain.name) == [("failed", True)]
    assert states(probed.name) == [("unknown", True), ("succeeded", False)]
    assert states(asked.name) == [("unknown", True), ("blocked", True)]


def test_limits_and_what_cannot_hold(app: Celery) -> None:
    app.conf.task_soft_time_limit = 20

    @app.task(shared=False, name="a", time_limit=30, rate_limit="3/m", throws=(KeyError,))
    def a() -> None: ...

    @app.task(shared=False, name="b", priority=3)
    def b() -> None: ...

    made = step(a), step(b)
    adopt_tasks(app)
    assert [one.timeout for one in made] == [timedelta(seconds=30), timedelta(seconds=20)]
    with pytest.warns(DefinitionWarning) as caught:
        warn_of_tasks()
    text = "\n".join(str(one.message) for one in caught)
    assert "step a: rate_limit='3/m'" in text
    assert "step b: priority=3" in text
    assert text.count("SoftTimeLimitExceeded") == 2
    assert is_expected("a", KeyError())
    assert not is_expected("b", KeyError())


def test_the_signals_of_the_task_are_sent(app: Celery) -> None:
    @app.task(shared=False, name="pay")
    def pay(amount: int) -> int:
        return amount // (amount - 1)

    made = step(pay)
    adopt_tasks(app)
    heard: list[Any] = []
    names = ("task_prerun", "task_success", "task_failure", "task_postrun")

    def hear(name: str) -> Any:
        def receive(sender: Any, **said: Any) -> None:
            heard.append((name, sender.name, said.get("task_id"), said.get("args")))

        return receive

    receivers = [(getattr(signals, name), hear(name)) for name in names]
    for signal, receiver in receivers:
        signal.connect(receiver)
    try:
        assert attempt(made, 3) == 1
        with pytest.raises(ZeroDivisionError):
            attempt(made, 1)
    finally:
        for signal, receiver in receivers:
            signal.disconnect(receiver)
    told = ("pay", KEY)
    assert heard == [
        ("task_prerun", *told, (3,)),
        ("task_success", "pay", None, None),
        ("task_postrun", *told, (3,)),
        ("task_prerun", *told, (1,)),
        ("task_failure", *told, (1,)),
        ("task_postrun", *told, (1,)),
    ]
    assert made.function.task.request.id is None  # pyright: ignore[reportFunctionMemberAccess]


def test_the_task_itself_stays_as_it_is(app: Celery) -> None:
    @app.task(shared=False, name="pay", bind=True, autoretry_for=(KeyError,))
    def pay(self, amount: int) -> str:
        return f"{amount} {self.request.called_directly}"

    task: Any = app.tasks["pay"]
    kind, before = type(task), dict(vars(task))
    made = step(pay)
    adopt_tasks(app)
    adopt_tasks(app)
    now = vars(app.tasks["pay"])
    assert {name: now[name] for name in before} == before
    assert type(app.tasks["pay"]) is kind
    assert task(3) == made.function(3) == "3 True"
    assert task.apply((3,)).get() == "3 False"
    assert attempt(made, 3) == "3 False"


def test_what_0_1_0_has_written_down_is_still_known(app: Celery) -> None:
    @app.task(shared=False, name="mail.send")
    def send() -> None: ...

    @app.task(shared=False, name="mail.take_back")
    def take_back(done: None) -> None: ...

    made = step(send, compensation=take_back)
    catalog = Catalog(registry)
    assert catalog.step("send") is made
    assert catalog.undo("take_back") is made.undo
    assert {"send", "mail.send", "take_back", "mail.take_back"} == catalog.names()
    assert registry.renamed("send") == "mail.send"
    assert registry.renamed("take_back", undo=True) == "mail.take_back"

    @app.task(shared=False, name="sms.send")
    def other() -> None: ...

    step(other)
    assert registry.renamed("send") == "send", "nobody knows which"


def test_a_wake_up_is_not_taken_for_the_task() -> None:
    for name in ("send", "mail.send"):
        assert step_of(task_of(name)) == name
    assert task_of("mail.send") != "mail.send"
    assert task_of("send") == "send"


@pytest.mark.parametrize("name", ["eventlet", "gevent"])
def test_a_pool_that_sagas_do_not_run_on_is_refused_by_name(name: str) -> None:
    pool = type("TaskPool", (), {"__module__": f"celery.concurrency.{name}"})
    with pytest.raises(InvalidInput, match=f"-P {name}: sagas do not run on it; use threads"):
        refuse_pool(pool)
