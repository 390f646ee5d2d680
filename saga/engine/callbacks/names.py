"""Names of hosts, looked up within a time: `getaddrinfo` knows none."""

import queue
import socket
import threading
from typing import Any

_MOST = 16  # look-ups at once; one whose server does not answer goes on for half a minute
_free = threading.BoundedSemaphore(_MOST)


def look_up(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """What `getaddrinfo` answers. Raises OSError, UnicodeError, and TimeoutError."""
    if not _free.acquire(timeout=seconds):
        raise TimeoutError("other names are still being looked up")
    answers: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(host, port, answers), name="saga-name", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not found in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _ask(host: str, port: int, answers: "queue.SimpleQueue[Any]") -> None:
    try:
        answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except Exception as error:
        answers.put(error)
    finally:
        _free.release()
