"""What Python refuses, SQL refuses, too; and what one takes, so does the other."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest

from saga import Client, InvalidInput
from saga.core.callbacks import check_url
from saga.core.codec import check_text

HOSTS = r"""
x example.com a.b-c_d.e 127.0.0.1 [::1] [::] [1:2:3:4:5:6:7:8] [::ffff:1.2.3.4] [fe80::1] [ [] ] a]b
[a [::1 ::1 [1::2::3] [12345::] [127.0.0.1] [v1.abc] [g::] [::1%25eth0] [::1]x a[::1] [[::1]] u@x
u:p@x @x a..b -a . x%41 ä 1 [:::] [1:2:3:4:5:6:7:8:9] [::1.2.3.999] x\y
""".split()  # noqa: SIM905
PORTS = [
    "",
    ":",
    ":80",
    ":0",
    ":65535",
    ":65536",
    ":99999",
    ":abc",
    ":-1",
    ":+80",
    ":00080",
    ":8 0",
    ":000080",
]
TAILS = [
    "",
    "/",
    "/hooks?a=b&c=%20",
    "?x",
    "#y",
    "/#",
    "/a b",
    "/@x:y",
    "/ä",
    "/\\",
    "//x",
    "/\x7f",
]
SCHEMES = ["https", "http", "HTTPS", "ftp", "", "https:", " https", "javascript", "https+unix"]
URLS = (
    [f"https://{host}{port}{tail}" for host, port, tail in product(HOSTS, PORTS, ("", "/"))]
    + [f"https://x{tail}" for tail in TAILS]
    + [f"{scheme}://x/" for scheme in SCHEMES]
    + [
        "",
        "https",
        "https:x",
        "https:/x",
        "https://",
        "https://" + "x" * 1992,
        "https://" + "x" * 1993,
    ]
)


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )
        yield connection


def refuses(sql: psycopg.Connection[Any], statement: str, *values: Any) -> bool:
    """Whether our own functions say so; any other error is none of it."""
    try:
        sql.execute(statement.encode(), values)
    except psycopg.Error as error:
        if error.sqlstate == "SG003":
            return True
        raise
    return False


def test_urls_of_callbacks(sql: psycopg.Connection[Any]) -> None:
    def python_refuses(url: str) -> bool:
        try:
            check_url(url)
        except InvalidInput:
            return True
        return False

    differing = {
        url: "Python" if in_python else "SQL"
        for url in URLS
        if (in_python := python_refuses(url))
        != refuses(sql, "SELECT saga.start('order', callback => %s)", url)
    }
    assert differing == {}
    assert not python_refuses("https://[::1]:8443/x?y")
    for url in ("https://[", "https://a]b/", "https://x:99999/", "https://x:abc/", "https://:443/"):
        assert python_refuses(url), url


@pytest.mark.parametrize("value", ["[1]", "1", '"x"', "null", "true"])
def test_attributes_are_an_object(
    sql: psycopg.Connection[Any], database_url: str, value: str
) -> None:
    assert refuses(sql, "SELECT saga.start('order', attributes => %s::jsonb)", value)
    wrong: Any = json.loads(value) or 0
    with Client(database_url) as client, pytest.raises(InvalidInput, match="attributes: want an"):
        client.start("order", attributes=wrong)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def of_size(size: int) -> str:
    """Compact JSON of so many bytes, with many commas and colons."""
    items = ",".join(['{"a":1}'] * (size // 8 - 100))
    found = f'[{items},""]'
    return found.replace('""', f'"{"x" * (size - len(found))}"')


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("1e400", True),
        ("-1e400", True),
        ("[1e309]", True),
        ('{"a": 1.8e308}', True),
        ("1.7e308", False),
        ("-1.5e-300", False),
        ("9" * 300, False),
        (nested(99), False),
        (nested(100), True),  # it stands in an object itself
        (of_size((1 << 20) - 6), False),
        (of_size((1 << 20) - 5), True),
    ],
    ids=lambda value: str(value)[:12],
)
def test_values(sql: psycopg.Connection[Any], value: str, refused: bool) -> None:
    text = f'{{"x":{value}}}'
    try:
        check_text(text, "input")
    except InvalidInput:
        assert refused
    else:
        assert not refused
    assert refuses(sql, "SELECT saga.start('order', %s::jsonb)", text) == refused
    saga_id = sql.execute("SELECT saga.start('order')").fetchone()
    assert saga_id is not None
    signal = "SELECT saga.signal(%s, 'x', %s::jsonb)"
    assert refuses(sql, signal, saga_id[0], text) == refused
