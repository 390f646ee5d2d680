"""`saga dev` starts everything, keeps the data, and leaves nothing behind however it ends."""

import os
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.commands import run, run_outside, spawn, until
from tests.cli.developing import Start, api_answers, command_line, flower_says, gone
from tests.live.http import Api


@pytest.mark.slow
def test_from_start_to_stop_and_again(start: Start, directory: Path) -> None:
    dev = start("--app", "shop", "--no-flower")
    family = dev.family()
    given = ("start", "order", "--input", '{"item": "tea"}')

    def workers() -> list[int]:
        return [row["id"] for row in run("workers", "--json", **dev.environment).json["workers"]]

    (first,) = until(workers, "a worker")
    done = run(*given, "--wait", "30", "--json", **dev.environment)
    assert done.json["result"] == "reservation of tea"
    assert run("migrate", **dev.environment).stdout == "The schema is up to date already.\n"

    second = run_outside("dev", "--directory", str(directory), "--json")
    assert (second.code, second.error["type"]) == (1, "DevError")
    assert "another `saga dev` runs" in second.error["message"]

    api = Api(**dev.ready["api"])
    until(lambda: api_answers(api), "the API answers")
    assert [row["id"] for row in api.get("/v1/sagas").json["sagas"]] == [done.json["id"]]
    until(lambda: api.get("/health").status == 200, "all is up")

    victim = dev.ready["workers"][0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(now := workers()) == 1 and now != [first], "a new one, and it alone")

    file = Path(dev.ready["environment_file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert dev.ready["database_url"] in file.read_text()
    dev.end()
    assert dev.process.returncode == 0
    assert gone(family)

    again = start()
    (kept,) = run("list", "--json", **again.environment).json["sagas"]
    assert kept["id"] == done.json["id"]
    assert again.ready["workers"] == []
    assert again.ready["database_url"] == dev.ready["database_url"]
    family = again.family()
    again.end(signal.SIGTERM)
    assert again.process.returncode == 0
    assert gone(family)


@pytest.mark.slow
def test_nothing_outlives_it(start: Start) -> None:
    dev = start("--app", "shop", "--no-flower", "--pool", "prefork", "-c", "2")
    family = dev.family()
    assert len(family) >= 3
    dev.end(signal.SIGKILL)
    until(lambda: gone(family), "everything ends", patience=60)


@pytest.mark.slow
def test_an_app_that_cannot_be_imported_ends_it(directory: Path) -> None:
    done = run_outside("--app", "closed", "dev", "--no-flower", "--directory", str(directory))
    assert done.code == 1
    assert "importing closed failed: RuntimeError: the shop is closed" in done.stderr
    assert "a worker ended as it started" in done.stderr


@pytest.mark.slow
def test_flower_is_behind_a_password_on_this_machine_only(start: Start) -> None:
    dev = start("--app", "shop")
    flower = dev.ready["flower"]
    assert flower["url"].startswith("http://127.0.0.1:")

    until(lambda: flower_says(flower, flower["password"]) == 200, "Flower")
    assert flower_says(flower, "wrong") == 401
    lines = [command_line(process) for process in dev.family()]
    assert any("flower" in line for line in lines)
    for secret in (flower["password"], dev.environment["SAGA_BROKER_URL"]):
        assert not any(secret in line for line in lines)
    dev.end()


@pytest.mark.slow
def test_what_was_exported_stays_valid(start: Start, directory: Path) -> None:
    first = start()
    exported = Path(first.ready["environment_file"]).read_text()
    first.end()
    kept = directory / "kept.json"
    assert kept.stat().st_mode & 0o777 == 0o600

    second = start()
    assert Path(second.ready["environment_file"]).read_text() == exported
    for name in ("api", "flower", "broker_url", "database_url"):
        assert second.ready[name] == first.ready[name]
    until(lambda: api_answers(Api(**first.ready["api"])), "the API takes the old token")
    assert run("token", "revoke", "saga dev", **second.environment).code == 0
    second.end()

    third = start("--no-flower")
    assert third.ready["api"]["token"] != first.ready["api"]["token"], "revoked is revoked"
    assert third.ready["broker_url"] == first.ready["broker_url"]
    third.end()


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_is_said(start: Start) -> None:
    first = start("--no-flower", "--no-api")
    first.end()
    port = urlsplit(str(first.ready["broker_url"])).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        second = start("--no-flower", "--no-api")
        assert urlsplit(str(second.ready["broker_url"])).port != port
        assert second.ready["database_url"] == first.ready["database_url"]
        second.end()
    assert second.has_said(f"port {port} of Redis is taken")


@pytest.mark.slow
def test_says_which_extra_brings_what_is_missing(
    start: Start, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    hiding = {"PYTHONPATH": str(tmp_path)}
    process = spawn("dev", "--directory", str(directory), **hiding)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while lines[-1] and "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    printed = "".join(lines)
    assert "No HTTP API: pip install 'saga-orchestrator[api]' brings it." in printed
    assert "No Flower: pip install 'saga-orchestrator[flower]' brings it." in printed

    dev = start("--no-flower", **hiding)
    assert dev.ready["missing_extras"] == ["api"], "nobody asked for Flower"
    dev.end()


# A Python that has none of these packages.
WITHOUT = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_less(name, path=None, target=None):
    return None if name in {"fastapi", "uvicorn", "flower"} else find(name, path, target)

PathFinder.find_spec = find_less
"""


@pytest.mark.slow
@pytest.mark.parametrize("checks", ["1", "0"])
def test_code_that_no_replay_can_follow_is_parked(start: Start, checks: str) -> None:
    given = {} if checks == "1" else {"SAGA_CHECK_REPLAYS": checks}
    dev = start("--app", "restless", "--no-flower", "--no-api", **given)
    done = run("start", "restless", "--json", **dev.environment)

    def shown() -> dict[str, Any]:
        return run("show", done.json["id"], "--json", **dev.environment).json["saga"]

    def note() -> str:
        return str(shown()) if shown()["status"] in ("parked", "completed") else ""

    told = until(note, "the saga is judged")
    if checks == "1":
        assert "uuid.uuid4()" in told
        assert "restless.py:15 gives something else each time: use uuid()" in told
    else:
        assert shown()["status"] == "completed"
