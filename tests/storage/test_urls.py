"""A database's URL is read as libpq and SQLAlchemy write it, or refused without a word of it."""

import pytest

from saga import Client, InvalidInput
from saga.storage.queries import reader
from saga.storage.urls import libpq_url
from saga.wakeups.publisher import publisher_for

PLAIN = "postgresql://ann:hush@host:5/db?sslmode=require"


@pytest.mark.parametrize(
    "kind", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"]
)
def test_both_forms_are_the_same_database(kind: str) -> None:
    given = PLAIN.replace("postgresql", kind)
    assert libpq_url(given) == PLAIN
    engine = reader(given)
    assert engine.url.render_as_string(hide_password=False) == PLAIN.replace(":", "+psycopg:", 1)
    engine.dispose()


@pytest.mark.parametrize(
    ("given", "host", "query"),
    [
        ("postgresql:///db?host=/tmp&port=5", None, {"host": "/tmp"}),
        ("postgresql://one:1,two:2/db", None, {"host": "one,two", "port": "1,2"}),
        ("host=here dbname=db", "here", {}),
        ("postgresql://[::1]/db", "::1", {}),
    ],
)
def test_whatever_libpq_reads_is_read(given: str, host: str | None, query: dict[str, str]) -> None:
    engine = reader(given)
    assert engine.url.host == host
    assert engine.url.query == query
    assert engine.url.database == "db"
    engine.dispose()


UNREADABLE = [
    "",
    "hush",
    "mysql://ann:hush@host/db",
    " postgresql://ann:hush@host/db",
    "postgresql://ann:hush%ZZ@host/db",
    "postgresql://ann:hush@[host/db",
    "postgresql://ann:hu@hush@host/db",
    "postgresql://ann:hush/1@host/db",
    "postgresql://ann:1/hush@host/db",
    "postgresql://ann:x@host:hush/db",
    "postgresql://ann:x@host:99999999/db",
    "postgresql://ann:x@host/db?hush=1",
    "postgresql+psycopg:/ann:hush@host/db",
]


def _client(url: str) -> Client:
    return Client(url or "=")


@pytest.mark.parametrize("given", UNREADABLE)
def test_what_cannot_be_read_is_not_repeated(given: str) -> None:
    for take in (libpq_url, reader, _client):
        with pytest.raises(InvalidInput, match="want postgresql://") as refused:
            take(given)
        assert "hush" not in str(refused.value)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("given", ["redis://:hu/hush@host/0", "amqp://x:hush@h", "redis://h:hush"])
def test_a_broker_that_cannot_be_read_is_not_repeated(given: str) -> None:
    with pytest.raises(InvalidInput, match="broker_url: ") as refused:
        publisher_for(given)
    assert "hush" not in str(refused.value)
