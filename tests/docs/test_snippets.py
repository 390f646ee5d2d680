"""Every command and snippet of the documentation does what is said there."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.docs.snippets import Snippet, matches, snippets
from tests.live.http import Api
from tests.live.ports import kept_port
from tests.live.processes import PATIENCE, ROOT, announced, until
from tests.live.serving import make_tokens, serving

DOCS = ROOT / "docs"
SECRET = "a secret of the documentation"
_SAME_TERMINAL = """
given=$(export -p)
[ ! -e .terminal ] || . ./.terminal
eval "$given"
unset given
set -o allexport
trap '{ export -p; declare -f; } > .terminal' EXIT
"""


class Reader:
    """Does what a document says, in a folder of its own. All commands but the services are entered
    in one terminal: variables and functions of a block last.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": f"{folder}:{ROOT}",
            **environment,
        }
        self._services = ExitStack()

    def close(self) -> None:
        self._services.close()

    def follow(self, snippet: Snippet) -> None:
        """Writes it down, starts it, or runs it and checks what it prints."""
        if "stopped" in snippet.options:
            self.close()
        if "title" in snippet.options:
            (self.folder / snippet.options["title"]).write_text(snippet.text)
        elif "service" in snippet.options:
            self._services.enter_context(self._service(snippet))
        elif "until" in snippet.options:
            self._repeat(snippet, snippet.options["until"])
        else:
            self._check(snippet, self._run(snippet))

    def _repeat(self, snippet: Snippet, wanted: str) -> None:
        deadline = time.monotonic() + 2 * PATIENCE  # the tutorial has a step of twenty seconds
        printed = self._run(snippet)
        while wanted not in printed:
            assert time.monotonic() < deadline, printed
            printed = self._run(snippet)
        self._check(snippet, printed)

    def _check(self, snippet: Snippet, printed: str) -> None:
        if snippet.output is not None:
            assert matches(snippet.output, printed), f"line {snippet.line} printed:\n{printed}"

    def _run(self, snippet: Snippet) -> str:
        if snippet.language == "sql":
            return self._query(snippet.text)
        done = subprocess.run(
            self._command(snippet),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"line {snippet.line}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _command(self, snippet: Snippet) -> list[str]:
        if snippet.language == "python":
            return [sys.executable, "-c", snippet.text]
        return ["bash", "-euo", "pipefail", "-c", _SAME_TERMINAL + snippet.text]

    def _query(self, text: str) -> str:
        with psycopg.connect(self.environment["SAGA_DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            while cursor.nextset():
                pass
            rows = cursor.fetchall() if cursor.description else []
        return "\n".join(" | ".join(map(str, row)) for row in rows)

    @contextmanager
    def _service(self, snippet: Snippet) -> Generator[None]:
        path = self.folder / f"service-{snippet.line}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {snippet.text}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield
            assert process.poll() is None, f"line {snippet.line} has ended:\n{path.read_text()}"
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


@pytest.fixture
def environment(database_url: str, broker_url: str) -> dict[str, str]:
    return {
        "SAGA_DATABASE_URL": database_url,
        "SAGA_BROKER_URL": broker_url,
        "SAGA_WEBHOOK_SECRET": SECRET,
        "SAGA_WEBHOOK_ALLOW": "127.0.0.1",
        "HOOK_PORT": str(kept_port()),
    }


@pytest.mark.slow
def test_enqueue(environment: dict[str, str], tmp_path: Path) -> None:
    database_url, broker_url = environment["SAGA_DATABASE_URL"], environment["SAGA_BROKER_URL"]
    tokens = make_tokens(database_url)
    with serving(database_url, broker_url, tmp_path / "server") as api:
        reader = Reader(
            tmp_path, environment | {"SAGA_URL": api.url, "SAGA_TOKEN": tokens["operator"]}
        )
        try:
            for snippet in snippets(DOCS / "enqueue.md"):
                reader.follow(snippet)
                if "saga --app" in snippet.text:
                    until(lambda: announced(database_url), "the worker is ready")
        finally:
            reader.close()
    assert (tmp_path / "heard.txt").read_text().strip(), "the receiver was called"


def is_alive(url: str) -> bool:
    try:
        return Api(url).get("/health/live").status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_http_api(environment: dict[str, str], tmp_path: Path) -> None:
    database_url = environment["SAGA_DATABASE_URL"]
    port = str(kept_port())
    api = {"API_PORT": port, "SAGA_URL": f"http://127.0.0.1:{port}"}
    reader = Reader(tmp_path, environment | api)
    try:
        for snippet in snippets(DOCS / "http-api.md"):
            reader.follow(snippet)
            if "saga serve" in snippet.text:
                until(lambda: is_alive(api["SAGA_URL"]), "the server answers")
            if "saga --app" in snippet.text:
                until(lambda: announced(database_url), "the worker is ready")
    finally:
        reader.close()


def test_the_readme_shows_what_is_run_here() -> None:
    """Its snippets of the four ways are parts of those in docs/enqueue.md."""
    (part,) = re.findall(
        r"<!-- enqueue -->(.*)<!-- /enqueue -->", (ROOT / "README.md").read_text(), re.DOTALL
    )
    shown = re.findall(r"^```\S+[^\n]*\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    run = "\n".join(snippet.text for snippet in snippets(DOCS / "enqueue.md"))
    assert len(shown) == 4
    for text in shown:
        assert text in run


def test_every_route_is_in_the_table() -> None:
    """And nothing else is."""
    from saga.operations.api import ApiSettings, create_app

    text = (DOCS / "http-api.md").read_text()
    for path in create_app(ApiSettings("postgresql://")).openapi()["paths"]:
        tail = path.replace("{saga_id}", "{id}").replace("{callback_id}", "{callback}")
        short = tail.removeprefix("/v1/sagas/{id}")
        assert tail in text or f"`{short}`" in text, path
