"""The demo's mail server: it records every delivery and keeps a mail once per Message-ID."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from saga.operations.demo.ledger import Effect, Ledger
from saga.operations.demo.web import Reply, Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
    message_id TEXT PRIMARY KEY, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, content BLOB NOT NULL);
"""
KEEP = "INSERT INTO mail VALUES (?, ?, ?, ?, ?)"


class Mailbox:
    """Handler of aiosmtpd; the ledger calls a mail's operation by its `X-Operation` header."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "mail.db", SCHEMA)
        self._refusals: deque[str] = deque()

    def refuse(self, answer: str) -> None:
        """Let the next delivery fail with this answer, such as `451 later`."""
        self._refusals.append(answer)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        """Take one mail (the name is aiosmtpd's)."""
        del server, session
        content = envelope.original_content or b""
        mail = message_from_bytes(content, policy=default)
        identity = str(mail.get("Message-ID", ""))
        reference = str(mail.get("X-Reference", ""))
        operation = str(mail.get("X-Operation", "mail"))
        # A mail server knows a mail by its Message-ID alone: a second delivery has a later Date.
        request = Request("SMTP", operation, {}, {"idempotency-key": identity}, b"")

        if self._refusals:
            answer = self._refusals.popleft()
            self.ledger.note(request, reference, Reply.of(int(answer[:3]), ""))
            return answer

        def keep() -> tuple[Reply, Effect]:
            row = (identity, envelope.mail_from, ", ".join(envelope.rcpt_tos), str(mail["Subject"]))
            self.ledger.connection.execute(KEEP, (*row, content))
            return Reply.of(250, ""), Effect(operation, reference, ", ".join(envelope.rcpt_tos))

        reply = self.ledger.apply(request, reference, keep)
        return "250 kept" if reply.status == 250 else f"550 refused ({reply.status})"


async def serve(mailbox: Mailbox, host: str = "127.0.0.1") -> tuple[asyncio.Server, str]:
    """Start the server on a free port; gives it and its URL."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(mailbox, hostname="demo.invalid", loop=loop, enable_SMTPUTF8=True), host, 0
    )
    return listener, f"smtp://{host}:{listener.sockets[0].getsockname()[1]}"
