"""A TCP proxy in front of a server, that loses replies and cuts connections."""

import random
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65536
_WORDS = 1024  # bytes: the request for TLS, and the name of the application


class Proxy:
    """Forwards; `loss` is the share of replies that are thrown away with their connection.

    What was asked for has been done by then: the server had answered.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.loss = 0.0
        self.cuts = 0
        self._target = port
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._clients: list[socket.socket] = []
        self._half_open: set[socket.socket] = set()
        self._first_words: dict[socket.socket, bytes] = {}
        self._forbidden: bytes | None = None
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def url(self, url: str) -> str:
        """The same URL, by way of this proxy."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{host}:{self.port}"))

    def cut_clients(self) -> int:
        """Cuts the clients' side of what is open, and not the server's; how many there were."""
        clients, self._clients = self._clients, []
        self._half_open.update(clients)
        for client in clients:
            _cut(client)
        return len(clients)

    def forbid(self, words: str) -> int:
        """Cuts the connections that began with these words, and refuses new ones that do; how many
        there were.
        """
        self._forbidden = words.encode()
        found = [one for one, said in self._first_words.items() if self._forbidden in said]
        for client in found:
            del self._first_words[client]
            _cut(client)
        return len(found)

    def forbid_nothing(self) -> None:
        """From now on."""
        self._forbidden = None

    def close(self) -> None:
        """Cut everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for one in self._sockets:
            _cut(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            self._clients.append(client)
            for pump in (self._ask, self._answer):
                thread = threading.Thread(target=pump, args=(client, server), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if not self._may_say(client, data):
                    break
                server.sendall(data)
        if client not in self._half_open:
            _cut(server)

    def _may_say(self, client: socket.socket, data: bytes) -> bool:
        said = self._first_words.get(client, b"")
        if len(said) < _WORDS:
            said = self._first_words[client] = (said + data)[:_WORDS]
        return self._forbidden is None or self._forbidden not in said

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                if self._random.random() < self.loss:
                    self.cuts += 1
                    break
                client.sendall(data)
        _cut(client)
        _cut(server)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(url: str) -> Generator[Proxy]:
    """A proxy in front of the server of a URL. Its seed is printed."""
    seed = random.randrange(2**32)
    print("proxy seed:", seed)  # noqa: T201 - shown with a failure, to repeat it
    running = Proxy(urlsplit(url).port or 0, seed)
    try:
        yield running
    finally:
        running.close()
