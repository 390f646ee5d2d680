"""Wrong usage and servers that are away: words, exit codes, no tracebacks, no passwords."""

import click
import psycopg
import pytest
from sqlalchemy.engine import make_url

from saga.operations.cli import main
from tests.cli.commands import run, run_outside

# Port 1: nobody listens there for as long as the session lasts.
AWAY = "postgresql://ann:hush@127.0.0.1:1/shop"
READERS = [
    ["list"],
    ["show", "abcd"],
    ["history", "abcd"],
    ["effects"],
    ["effects", "abcd"],
    ["approvals"],
    ["approvals", "abcd"],
    ["blocked"],
    ["callbacks"],
    ["callbacks", "list", "abcd"],
    ["workers"],
    ["backlog"],
]
WRITERS = [
    ["migrate"],
    ["start", "order"],
    ["signal", "abcd", "paid"],
    ["approve", "abcd"],
    ["reject", "abcd"],
    ["cancel", "abcd"],
    ["prune", "--ended-before", "90d", "--reason", "retention"],
    ["callbacks", "retry", "0b9f2f0e-4f0e-4c7a-9a57-5a4a3c4f1f6e"],
]
ALL = READERS + WRITERS
CURABLE = [arguments for arguments in ALL if arguments != ["migrate"]]
NAMES = [" ".join(arguments) for arguments in ALL]


def test_every_command_explains_itself() -> None:
    shown = run("--help")
    assert shown.code == 0
    context = click.Context(main)
    for name in main.list_commands(context):
        assert f"  {name} " in shown.stdout
        command = main.get_command(context, name)
        below = command.list_commands(context) if isinstance(command, click.Group) else None
        for words in [[name]] if below is None else [[name, each] for each in below]:
            explained = run(*words, "--help")
            assert explained.code == 0
            assert "--json" in explained.stdout


@pytest.mark.parametrize("group", [[], ["token"]], ids=["saga", "token"])
def test_a_group_without_a_command_shows_its_help(group: list[str]) -> None:
    done = run(*group)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == run(*group, "--help").stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("saga, version ")


@pytest.mark.parametrize("arguments", ALL, ids=NAMES)
def test_no_database_is_named(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert "SAGA_DATABASE_URL" in done.stderr
    assert done.stdout == ""
    assert run(*arguments, "--json").error["type"] == "UsageError"


@pytest.mark.parametrize("arguments", ALL, ids=NAMES)
def test_the_database_is_away(arguments: list[str]) -> None:
    done = run(*arguments, SAGA_DATABASE_URL=AWAY)
    assert done.code == 1
    assert AWAY.replace(":hush", "") in done.stderr
    assert "`saga dev` starts one" in done.stderr
    in_json = run("--json", *arguments, "--database-url", AWAY)
    assert (in_json.code, in_json.stderr, in_json.error["type"]) == (1, "", "Unavailable")
    for text in (done.stdout, done.stderr, in_json.stdout):
        assert "hush" not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("arguments", CURABLE, ids=" ".join)
def test_the_database_was_never_migrated(arguments: list[str], empty_database_url: str) -> None:
    done = run(*arguments, "--json", SAGA_DATABASE_URL=empty_database_url)
    assert done.code == 1
    assert done.error["type"] == "SchemaOutdated"
    assert "saga migrate" in done.error["message"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["lits"], "no command 'lits': did you mean list?"),
        (["xyz"], "one of dev, demo, migrate"),
        (["show"], "Missing argument 'ID'"),
        (["list", "--status", "done"], "'running', 'parked'"),
        (["list", "--since", "yesterday"], "a duration like 30m"),
        (["list", "--limit", "0"], "1<=x<=1000"),
        (["list", "--attribute", "tenant"], "name=value"),
        (["list", "--sicne", "1d"], "--since"),
        (["start", "order", "--input", "{"], "--input: not JSON"),
        (["start", "order", "--input", "hello"], "a text needs quotes"),
        (["start", "order", "--input", "[1]"], "by name"),
        (["start", "order", "--input", '{"a": NaN}'], "--input: a: NaN"),
        (["start", "order", "--input", '{"a": "\\u0000"}'], "--input: a: the character NUL"),
        (["start", "order", "--input", '{"a": "\\ud800"}'], "--input: a: a lone surrogate"),
        (["start", "order", "--input", '{"a": 1, "a": 2}'], "--input: a: this key is given twice"),
        (
            ["start", "order", "--input", "@/nonexistent.json"],
            "'/nonexistent.json': No such file or directory; want JSON itself, @FILE, or - for",
        ),
        (
            ["signal", "abcd", "paid", "--payload", "@/"],
            "--payload: cannot read the file '/': Is a",
        ),
        (["resolve", "abcd", "1", "done", "--result", "@"], "--result: cannot read the file '': "),
        (["compensate", "abcd"], "Missing option '--reason'. Say why, for the records."),
        (
            ["prune", "--ended-before", "90d"],
            "Missing option '--reason'. Say why, for the records.",
        ),
        (["resolve", "abcd", "1", "skip"], "Missing option '--reason'. Say why, for the records."),
        (["prune", "--reason", "retention"], "Missing option '--ended-before'"),
        (["token", "create", "ann"], "'--role'. Choose from: viewer, operator, approver, admin"),
        (["signal", "abcd", "paid", "--payload", "["], "--payload: not JSON"),
        (["worker"], "--app or SAGA_APP"),
        (["worker", "--app", "shop", "--pool", "gevent"], "'threads', 'prefork', 'solo'"),
        (["worker", "--app", "shop", "--queues", "a,,b"], "names parted by commas"),
        (["worker", "--app", "shop", "--concurrency", "0"], "1<=x<=10000"),
        (["worker", "--app", "tests.live.shop"], "No broker"),
    ],
)
def test_wrong_usage_says_what_would_be_right(line: list[str], message: str) -> None:
    done = run(*line, SAGA_DATABASE_URL=AWAY)
    assert done.code == 2
    assert message in done.stderr
    in_json = run(*line, "--json", SAGA_DATABASE_URL=AWAY)
    assert in_json.code == 2
    assert message in in_json.error["message"]


@pytest.mark.parametrize("url", ["nonsense", "mysql://a:hush@b/c"])
def test_what_is_no_url(url: str) -> None:
    done = run("list", "--database-url", url)
    assert done.code == 1
    assert "postgresql://user:password@host" in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("shpo", "no module 'shpo'; did you mean shop?"),
        ("nothing.like.it", "no module 'nothing.like.it' (looked in "),
        ("shop.py", "name the module, not the file: shop"),
        ("shop:ordr", "--app: shop has no 'ordr'; did you mean order?"),
        ("shop:order", "--app: shop:order is no Celery app with saga.install(app)"),
        ("closed", "importing closed failed: RuntimeError: the shop is closed ("),
        (
            "unfitted",
            "importing unfitted failed: ModuleNotFoundError: No module named 'shopfittings'",
        ),
    ],
)
def test_apps_that_cannot_be_imported(app: str, message: str) -> None:
    servers = {"SAGA_DATABASE_URL": AWAY, "SAGA_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = run_outside("--app", app, "worker", **servers)
    assert done.code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_postgres_refuses_is_told_without_sql(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'hush'")
        done = run("migrate", "--json", "--database-url", _as_guest(empty_database_url))
        connection.execute("DROP ROLE guest")
    assert (done.code, done.error["type"]) == (1, "Unavailable")
    assert "Postgres refuses: permission denied for database" in done.error["message"]
    assert "SQL" not in done.stdout


@pytest.mark.parametrize(
    "arguments", [["list"], ["start", "order"], ["migrate"], ["token", "list"]], ids=" ".join
)
def test_a_wrong_password(arguments: list[str], wrong_password_url: str) -> None:
    done = run(*arguments, SAGA_DATABASE_URL=wrong_password_url)
    assert done.code == 1
    assert "Postgres refuses: password authentication failed for user" in done.stderr
    assert f"Check {wrong_password_url.replace(':wrong@', '@')}: --database-url" in done.stderr
    assert "Is it running" not in done.stderr


def test_a_database_that_is_not_there(database_url: str) -> None:
    url = make_url(database_url).set(database="nowhere").render_as_string(False)
    done = run("list", SAGA_DATABASE_URL=url)
    assert 'Postgres refuses: database "nowhere" does not exist' in done.stderr
    assert "Is it running" not in done.stderr


def _as_guest(url: str) -> str:
    return make_url(url).set(username="guest", password="hush").render_as_string(False)


def test_options_may_stand_on_both_sides() -> None:
    before = run("--json", "--database-url", AWAY, "list")
    after = run("list", "--json", "--database-url", AWAY)
    assert before == after
    other = AWAY.replace("/shop", "/other")
    both = run("--database-url", AWAY, "list", "--database-url", other)
    assert "/other" in both.stderr


def test_debug_shows_the_traceback() -> None:
    done = run("list", "--debug", SAGA_DATABASE_URL=AWAY)
    assert "Traceback" in done.stderr
