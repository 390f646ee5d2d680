"""Callbacks: signed, made at least once, and given up one day."""

import json
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest

from saga import Client, InvalidInput
from saga.client.connections import Connections
from saga.core.callbacks import parse_secrets, signature
from saga.engine.callbacks.courier import CallbackSettings, delay
from saga.engine.callbacks.safe_post import Policy
from saga.engine.sweep.sweeper import Sweeper
from saga.storage import deliveries
from saga.wakeups.publisher import SilentPublisher
from tests.live.processes import until
from tests.live.receiver import SECRET, hang_up, receiving, status

SETTINGS = CallbackSettings((SECRET.encode(),), Policy.parse("127.0.0.1"))


class World:
    """Sagas that end when a test says so."""

    def __init__(self, database_url: str) -> None:
        self.url = database_url
        self.sql = psycopg.connect(database_url, autocommit=True)
        self.client = Client(database_url)
        self.sql.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )

    def close(self) -> None:
        self.client.close()
        self.sql.close()

    def start(self, callback: str | None, **options: Any) -> Any:
        return self.client.start("order", callback=callback, **options).id

    def end(self, saga_id: Any, how: str, **payloads: Any) -> None:
        self.sql.execute(
            """
            WITH ended AS (
              UPDATE saga.saga
                 SET status = %s, seq = seq + 1, ended_at = now(), result = %s, error = %s
               WHERE id = %s RETURNING id, seq, status
            )
            INSERT INTO saga.history (saga_id, seq, after) SELECT id, seq, status FROM ended
            """,
            (how, *(json.dumps(payloads.get(p)) for p in ("result", "error")), saga_id),
        )

    def deliveries(self, what: str = "state, attempt, response, error") -> list[Any]:
        query = f"SELECT {what} FROM saga.delivery ORDER BY created_at, seq"
        return self.sql.execute(query.encode()).fetchall()

    def hurry(self) -> None:
        """Lets the pause before the next attempt be over."""
        self.sql.execute("UPDATE saga.delivery SET due_at = now() WHERE state = 'due'")
        self.sql.execute("NOTIFY saga_due")

    def sweeper(self, settings: CallbackSettings = SETTINGS) -> Sweeper:
        sweeper = Sweeper(self.url, SilentPublisher(), callbacks=settings)
        sweeper.start()
        return sweeper


def an_hour(attempt: int, chance: float) -> float:
    return 3600.0


@pytest.fixture
def world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    """Nothing is tried again in it but what a test hurries."""
    monkeypatch.setattr("saga.engine.callbacks.courier.delay", an_hour)
    made = World(database_url)
    yield made
    made.close()


@pytest.fixture
def sweeping(world: World) -> Generator[None]:
    sweeper = world.sweeper()
    yield
    sweeper.stop()


def settled(world: World, how: str) -> Callable[[], bool]:
    return lambda: [row[0] for row in world.deliveries()] == [how]


@pytest.mark.usefixtures("sweeping")
def test_the_end_of_a_saga_is_told(world: World) -> None:
    with receiving() as receiver:
        saga_id = world.start(receiver.url, key="k", attributes={"shop": "ä"})
        world.start(None)
        world.end(saga_id, "completed", result={"paid": 1})
        until(settled(world, "delivered"), "the callback is delivered")
        (received,) = receiver.received
        assert received.is_signed()
        assert abs(time.time() - int(received.headers["webhook-timestamp"])) < 30
        assert received.headers["content-type"] == "application/json"
        message = received.message
        assert message["type"] == "saga.ended"
        assert message["data"] == {
            "id": str(saga_id),
            "name": "order",
            "version": 1,
            "key": "k",
            "status": "completed",
            "result": {"paid": 1},
            "error": None,
            "attributes": {"shop": "ä"},
        }
    assert world.deliveries() == [("delivered", 1, 204, None)]


@pytest.mark.usefixtures("sweeping")
def test_it_is_told_again_until_it_is_taken(world: World) -> None:
    with receiving(status(500), hang_up, status(302, Location="http://x/")) as receiver:
        saga_id = world.start(receiver.url)
        world.end(saga_id, "failed", error={"type": "X", "message": "y"})
        for attempt in range(1, 4):
            until(lambda: len(receiver.received) >= attempt, f"attempt {attempt}")  # noqa: B023
            until(lambda: world.deliveries("error IS NOT NULL") == [(True,)], "it is noted")
            world.sql.execute("UPDATE saga.delivery SET error = NULL")
            world.hurry()
        until(settled(world, "delivered"), "the callback is delivered")
        assert len({one.id for one in receiver.received}) == 1, "one id in every attempt"
        assert len(receiver.received) == 4
        assert receiver.received[-1].message["data"]["error"] == {"type": "X", "message": "y"}


@pytest.mark.usefixtures("sweeping")
def test_each_end_is_told(world: World) -> None:
    with receiving() as receiver:
        saga_id = world.start(receiver.url)
        world.end(saga_id, "completed", result=1)
        until(lambda: len(receiver.received) == 1, "the first end is told")
        world.sql.execute("UPDATE saga.saga SET status = 'compensating', ended_at = NULL")
        world.end(saga_id, "compensated")
        until(lambda: len(receiver.received) == 2, "the second end is told")
        assert [r.message["data"]["status"] for r in receiver.received] == [
            "completed",
            "compensated",
        ]
        assert len({r.id for r in receiver.received}) == 2


@pytest.mark.usefixtures("sweeping")
def test_a_receiver_that_is_gone_is_left_alone(world: World) -> None:
    with receiving(status(410)) as receiver:
        world.end(world.start(receiver.url), "completed")
        until(settled(world, "given_up"), "it is given up")
    assert world.deliveries() == [("given_up", 1, 410, "the answer's status is 410")]


@pytest.mark.usefixtures("sweeping")
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://10.1.2.3/", "10.1.2.3 is not a public address"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public address"),
        ("http://[::1]:8080/", "::1 is not a public address"),
        ("https://0.0.0.0/", "is not a public address"),
    ],
)
def test_a_private_address_is_not_called(world: World, url: str, error: str) -> None:
    world.end(world.start(url), "completed")
    until(lambda: world.deliveries("error")[0][0], "the refusal is noted")
    ((state, attempt, response, found),) = world.deliveries()
    assert (state, attempt, response) == ("due", 1, None)
    assert error in found


@pytest.mark.usefixtures("sweeping")
def test_it_is_given_up_after_a_day(world: World) -> None:
    with receiving(status(500)) as receiver:
        saga_id = world.start(receiver.url)
        world.sql.execute("ALTER TABLE saga.delivery ALTER COLUMN attempt SET DEFAULT 29")
        world.end(saga_id, "completed")
        until(settled(world, "given_up"), "it is given up")
        ((delivery_id,),) = world.deliveries("id")
        connections = Connections(world.url, "test")
        connections.call(lambda run: deliveries.again(run, saga_id, delivery_id, "ann"))
        connections.close()
        until(settled(world, "delivered"), "it is made once more")
        assert len(receiver.received) == 2


def test_a_sweeper_that_died_after_the_call_calls_again(world: World) -> None:
    """At least once: nothing says that the first call was taken, so it is made again."""
    with receiving() as receiver:
        saga_id = world.start(receiver.url)
        world.end(saga_id, "completed")
        (lost,) = deliveries.claim(world.sql, 8, 2, [], lease=60)
        assert deliveries.claim(world.sql, 8, 2, [], lease=60) == [], "its lease holds"
        sweeper = world.sweeper()
        world.hurry()  # the lease has run out
        until(settled(world, "delivered"), "another makes the call")
        sweeper.stop()
        assert [r.id for r in receiver.received] == [str(lost.id)]
        late = deliveries.Result("due", None, "late", 1.0)
        connections = Connections(world.url, "test")
        assert not connections.call(lambda run: deliveries.settle(run, lost, late))
        connections.close()


def test_an_attempt_from_before_it_is_asked_for_again_settles_nothing(world: World) -> None:
    saga_id = world.start("https://example.com/")
    world.end(saga_id, "completed")
    (late,) = deliveries.claim(world.sql, 8, 2, [], lease=60)
    connections = Connections(world.url, "test")
    connections.call(lambda run: deliveries.again(run, saga_id, late.id, "ann"))
    given_up = deliveries.Result("given_up", 500, "late")
    assert not connections.call(lambda run: deliveries.settle(run, late, given_up))
    (fresh,) = deliveries.claim(world.sql, 8, 2, [], lease=60)
    assert (fresh.tries, fresh.attempt > late.attempt) == (1, True)
    assert not connections.call(lambda run: deliveries.settle(run, late, given_up))
    assert connections.call(lambda run: deliveries.settle(run, fresh, given_up))
    connections.close()


def test_without_a_secret_nothing_is_sent(world: World) -> None:
    with receiving() as receiver:
        sweeper = world.sweeper(CallbackSettings())
        world.end(world.start(receiver.url), "completed")
        until(lambda: world.deliveries("error")[0][0], "the reason is noted")
        sweeper.stop()
        assert world.deliveries("state, error") == [
            ("due", "SAGA_WEBHOOK_SECRET is not set on the workers")
        ]
        assert receiver.received == []


def test_a_slow_receiver_does_not_keep_the_others_waiting(world: World) -> None:
    """Two at a time and host, whatever else of that host is due."""
    slow = [world.start("https://slow.example/") for _ in range(5)]
    for saga_id in slow:
        world.end(saga_id, "completed")
    world.end(world.start("https://quick.example/"), "completed")
    first = deliveries.claim(world.sql, 8, 2, [], lease=60)
    assert sorted(d.url for d in first) == [
        "https://quick.example/",
        "https://slow.example/",
        "https://slow.example/",
    ]
    assert deliveries.claim(world.sql, 8, 2, ["slow.example"], lease=60) == []


def test_a_start_that_is_rolled_back_calls_nobody(world: World) -> None:
    with world.sql.transaction(force_rollback=True):
        saga_id = world.client.start(
            "order", callback="https://x.example/", connection=world.sql
        ).id
        world.end(saga_id, "completed")
        assert world.deliveries("state") == [("due",)]
    assert world.deliveries() == []


def test_the_signature_is_the_standards() -> None:
    """The example of the Standard Webhooks specification."""
    secrets = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "X")
    body = b'{"test": 2432232314}'
    found = signature(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_while_receivers_change() -> None:
    old, new = "0123456789abcdef", "fedcba9876543210"
    both = signature(parse_secrets(f"{new}, {old}", "X"), "id", 1, b"{}").split()
    for secret in (old, new):
        assert signature(parse_secrets(secret, "X"), "id", 1, b"{}") in both


@pytest.mark.parametrize("text", ["short", "whsec_%%%", "whsec_" + "QQ==", "0123456789abcdef,x"])
def test_secrets_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^X: "):
        parse_secrets(text, "X")


def test_the_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGA_WEBHOOK_SECRET", raising=False)
    monkeypatch.delenv("SAGA_WEBHOOK_ALLOW", raising=False)
    assert CallbackSettings.from_environment() == CallbackSettings()
    monkeypatch.setenv("SAGA_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SAGA_WEBHOOK_ALLOW", "127.0.0.1")
    assert CallbackSettings.from_environment() == SETTINGS


def test_the_pauses_grow_to_an_hour_and_sum_to_a_day() -> None:
    pauses = [delay(attempt, 0.5) for attempt in range(1, 30)]
    assert [round(p) for p in pauses[:7]] == [5, 15, 45, 135, 405, 1215, 3600]
    assert 22 < sum(pauses) / 3600 < 26
    assert delay(1, 0) < delay(1, 0.9)


@pytest.mark.usefixtures("sweeping")
@pytest.mark.parametrize(
    "url", ["https://[", "https://a]b/", "https://x:99999/", "https://x:abc/", "https://:443/"]
)
def test_a_url_that_is_none_is_given_up_and_holds_up_nobody(world: World, url: str) -> None:
    """Before revision 0011 SQL took such ones."""
    with receiving() as receiver:
        wrong, right = world.start("https://x/"), world.start(receiver.url)
        world.sql.execute("UPDATE saga.saga SET callback = %s WHERE id = %s", (url, wrong))
        world.end(wrong, "completed")
        world.end(right, "completed")
        until(lambda: receiver.received, "the neighbour is told")
        of_wrong = "SELECT state, error IS NOT NULL FROM saga.delivery WHERE saga_id = %s"

        def standing() -> tuple[Any, ...] | None:
            return world.sql.execute(of_wrong, (wrong,)).fetchone()

        until(lambda: standing() == ("due", True), "its error is its result")
        world.sql.execute(
            "UPDATE saga.delivery SET attempt = 29, error = NULL WHERE saga_id = %s", (wrong,)
        )
        world.hurry()
        until(lambda: standing() == ("given_up", True), "it is given up after its day")


@pytest.mark.usefixtures("sweeping")
def test_an_error_that_cannot_be_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_: Any, **__: Any) -> int:
        raise ValueError("a\0b")

    monkeypatch.setattr("saga.engine.callbacks.courier.post", post)
    world.end(world.start("https://x/"), "completed")
    until(lambda: world.deliveries("error IS NOT NULL") == [(True,)], "its result is there")
    assert world.deliveries("error")[0][0].startswith("not to be written down: ")
