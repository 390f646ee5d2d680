"""A Messages API that gives what it was told to give, over a real socket, and keeps what it got."""

import asyncio
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from saga.operations.demo import web


class Api:
    """Replies in the order in which they were added; the last one is given for ever."""

    url: str

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.requests: list[web.Request] = []
        self._replies: list[web.Reply] = []

    def add(self, status: int, body: dict[str, Any], **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._replies.append(web.Reply.of(status, body, named))

    def says(self, *blocks: dict[str, Any], stop: str = "end_turn", **more: Any) -> None:
        """The next answer."""
        usage = {"input_tokens": 10, "output_tokens": 5}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
        self.add(200, {"content": list(blocks), "stop_reason": stop, "usage": usage} | head | more)

    def refuses(self, status: int, code: str | None = None, **headers: str) -> None:
        """The next answer is an error."""
        details = {"details": {"error_code": code}} if code else {}
        error = {"type": "some_error", "message": headers.pop("says", "no"), **details}
        self.add(status, {"type": "error", "error": error}, **headers)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.json() for request in self.requests]

    def sent(self, number: int, *path: str | int) -> str:
        """A part of a request, as the bytes that were sent would be written."""
        value: Any = json.loads(self.requests[number].body)
        for part in path:
            value = value[part]
        return json.dumps(value)

    async def handle(self, request: web.Request) -> web.Reply:
        self.requests.append(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


@contextmanager
def serving() -> Generator[Api]:
    """The API on a free port, in a thread."""
    api, loop = Api(), asyncio.new_event_loop()
    server, api.url = loop.run_until_complete(web.serve(api.handle))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield api
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
