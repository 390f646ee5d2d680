"""The HTTP of the server: uvicorn's, which would wait for the rest of a request's head for ever."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_WITHIN = 5.0  # seconds for a request's line and headers


class Http(H11Protocol):
    """Hangs up on a connection that sends no whole head in time, nor anything at all."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        """From its first byte on; between requests uvicorn counts the time."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(_WITHIN, self.timeout_keep_alive_handler)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
