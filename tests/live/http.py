"""A client of the HTTP API, as small as can be."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names; it must be one."""
        assert self.headers["content-type"] == "application/problem+json", self
        found = self.json
        assert found["status"] == self.status
        assert found["type"].startswith("urn:saga:problem:")
        assert found["title"]
        return [error["field"] for error in found["errors"]]

    @property
    def problem(self) -> str:
        """The word of a problem's type."""
        _ = self.fields
        return self.json["type"].rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Api:
    """A server, and somebody's token."""

    url: str
    token: str | None = None

    def with_token(self, token: str | None) -> "Api":
        return Api(self.url, token)

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        """`query` may hold lists."""
        text = urlencode(query, doseq=True)
        return self.raw("GET", f"{path}?{text}" if text else path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """`headers` with `_` for `-`."""
        data = b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.raw("POST", path, data, named)

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """Anything."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout)
        try:
            connection.request(method, path, body or None, self._headers(body, headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def _headers(self, body: bytes, more: Mapping[str, str] | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers | dict(more or {})

    def events(self, path: str, last: int | None = None) -> Iterator[dict[str, str]]:
        """Server-sent events, until the server closes the stream."""
        more = {} if last is None else {"Last-Event-ID": str(last)}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request("GET", path, None, self._headers(b"", more))
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, str] = {}
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if not line:
                    if "event" in event:
                        yield event
                    event = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value
        finally:
            connection.close()
