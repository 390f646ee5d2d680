"""The outside world: a small HTTP server that deduplicates by key and records everything.

It runs in the test's process, which no fault touches, and the engine cannot write to it but by the
requests that steps make.
"""

import json
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_UNDO = ":undo"
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. `verb`: do, undo or find; `applied`: whether it changed anything."""

    verb: str
    name: str
    key: str
    attempt: int
    applied: bool


@dataclass(slots=True)
class Gate:
    """Holds back requests: before they are applied, or their replies afterwards."""

    verb: str
    name: str
    when: str
    left: int
    opened: threading.Event = field(default_factory=threading.Event)
    arrived: list[str] = field(default_factory=list[str])

    def open(self) -> None:
        """Let go of whom it holds, and hold nobody any more."""
        self.left = 0
        self.opened.set()


class Ledger:
    """What was asked for and what was done. Read it when nobody writes any more, or for a hint."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.applied: list[str] = []
        """Keys in the order in which their effects happened."""
        self.undone: list[str] = []
        """Keys in the order in which their effects were undone."""
        self.void: set[str] = set()
        """Keys that were undone before they were used: an effect that comes later is refused."""
        self.out_of_order: set[str] = set()
        """Names whose undo is refused."""
        self.busy: Counter[tuple[str, str]] = Counter()
        """How many of the next requests of a verb and name are told to come again."""
        self._lock = threading.Lock()
        self._gates: list[Gate] = []
        self.url = ""

    def hold(self, verb: str, name: str, *, when: str = "before", times: int = 1) -> Gate:
        """A gate for the next requests of this kind. `when`: before or after they are applied."""
        gate = Gate(verb, name, when, times)
        with self._lock:
            self._gates.append(gate)
        return gate

    def open_all(self) -> None:
        """Nobody waits any longer."""
        for gate in self._gates:
            gate.open()

    def asked(self, verb: str, key: str = "") -> list[Entry]:
        """The requests of a kind (and key) so far."""
        return [e for e in list(self.entries) if e.verb == verb and key in ("", e.key)]

    # What the server calls.

    def ask(self, verb: str, name: str, key: str, attempt: int) -> tuple[int, Any]:
        """One request: its status and its answer."""
        self._wait(verb, name, key, "before")
        with self._lock:
            if self.busy[verb, name] > 0:
                self.busy[verb, name] -= 1
                return 503, None
            status, answer, applied = getattr(self, f"_{verb}")(name, key)
            self.entries.append(Entry(verb, name, key, attempt, applied))
        self._wait(verb, name, key, "after")
        return status, answer

    def _do(self, name: str, key: str) -> tuple[int, Any, bool]:
        if key in self.void:
            return 409, None, False
        fresh = key not in self.applied
        if fresh:
            self.applied.append(key)
        return 200, f"{name} {key}", fresh

    def _undo(self, name: str, key: str) -> tuple[int, Any, bool]:
        if name in self.out_of_order:
            return 500, None, False
        forward = key.removesuffix(_UNDO)
        if forward == key:
            return 400, None, False
        if forward not in self.applied:
            self.void.add(forward)
            return 200, None, False
        fresh = forward not in self.undone
        if fresh:
            self.undone.append(forward)
        return 200, None, fresh

    def _find(self, name: str, key: str) -> tuple[int, Any, bool]:
        if key in self.applied:
            return 200, f"{name} {key}", False
        return 404, None, False

    def _wait(self, verb: str, name: str, key: str, when: str) -> None:
        with self._lock:
            gate = next((g for g in self._gates if g.left and _fits(g, verb, name, when)), None)
            if gate is None:
                return
            gate.left -= 1
            gate.arrived.append(key)
        gate.opened.wait(PATIENCE)


def _fits(gate: Gate, verb: str, name: str, when: str) -> bool:
    return (gate.verb, gate.name, gate.when) == (verb, name, when)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Its client was killed, which is what these tests are about."""


@contextmanager
def serving() -> Generator[Ledger]:
    """A ledger that listens."""
    ledger = Ledger()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, verb, name = self.path.split("/")
            key, attempt = self.headers["Idempotency-Key"], int(self.headers["Attempt"])
            status, answer = ledger.ask(verb, name, key, attempt)
            body = json.dumps(answer).encode()
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        ledger.url = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield ledger
        finally:
            ledger.open_all()
            server.shutdown()
            thread.join()
