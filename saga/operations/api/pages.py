"""Pages of rows, bounded in bytes, and how they become JSON."""

import threading
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

from saga.core.codec import parse
from saga.storage.queries import Unread

PAGE = 1 << 20
"""Bytes after which a page ends, if not before."""

_turn = threading.Lock()


def answer(kind: TypeAdapter[Any], page: object) -> Response:
    """For a thread. What is stored is parsed as it is written, a value at a time and a page at a
    time: parsed it may be as large as thirty pages.
    """
    with _turn:
        return Response(kind.dump_json(page, fallback=_read), media_type="application/json")


def _read(value: Any) -> Any:
    if isinstance(value, Unread):
        return parse(value.text.decode())
    raise TypeError(f"{type(value).__name__} is no JSON")
