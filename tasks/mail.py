"""E-mail for steps, over SMTP, with a Message-ID that stays the same in every attempt.

`SAGA_SMTP_URL` names the server: `smtp://host:port` or `smtps://user:password@host`.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import localtime
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from saga import Permanent, Unknown, step
from saga.tasks.failures import CallFailed, shorten
from saga.tasks.keys import own_key
from saga.tasks.settings import required

TIMEOUT = 30.0
DEFAULT_SENDER = "Support <support@example.com>"


class SentMail(BaseModel):
    """A mail that the server has taken over."""

    message_id: str
    to: str


def send(
    to: str,
    subject: str,
    text: str,
    *,
    sender: str = DEFAULT_SENDER,
    headers: Mapping[str, str] | None = None,
    key: str | None = None,
) -> SentMail:
    """Hand one mail to the server that `SAGA_SMTP_URL` names.

    The Message-ID is made from `key`, by default the running step's idempotency key: a server
    that deduplicates on it delivers the mail once, however often it is sent.

    Raises:
        CallFailed: The server cannot be reached or says "later" (4xx).
        Permanent: It refuses the mail or an address (5xx); a header that cannot be sent.
        Unknown: The connection broke after the mail's text was on its way.
    """
    server = required("SAGA_SMTP_URL", "the mail server, such as smtp://localhost:25")
    message_id = message_id_for(key or own_key())
    fields = {"From": sender, "To": to, "Subject": subject, "Message-ID": message_id}
    mail = _compose({**fields, **(headers or {})}, text)
    try:
        connection = _connect(server)
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise CallFailed(f"the mail server: {_reason(error)}") from error
    try:
        connection.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(max(code for code, _ in error.recipients.values()), error) from error
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, error) from error
    except (OSError, smtplib.SMTPServerDisconnected) as error:
        raise Unknown(f"the mail server: {_reason(error)}") from error
    finally:
        connection.close()
    return SentMail(message_id=message_id, to=to)


@step(name="send_mail", queue="email", irreversible=True)
def send_mail(to: str, subject: str, text: str) -> SentMail:
    """Send one mail; see `send`."""
    return send(to, subject, text)


def message_id_for(key: str) -> str:
    """The Message-ID of an idempotency key."""
    return f"<{re.sub(r'[^A-Za-z0-9-]+', '.', key)}@saga.invalid>"


def _compose(fields: Mapping[str, str], text: str) -> EmailMessage:
    mail = EmailMessage()
    try:
        for name, value in fields.items():
            mail[name] = value
        mail["Date"] = localtime()
        mail.set_content(text)
    except (ValueError, UnicodeError) as error:
        raise Permanent(f"this mail cannot be sent: {shorten(str(error))}") from error
    return mail


def _connect(server: str) -> smtplib.SMTP:
    url = urlsplit(server)
    host = url.hostname or "localhost"
    # Without a name of its own smtplib asks the resolver for one, which may take seconds.
    if url.scheme == "smtps":
        secure = ssl.create_default_context()
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            host, url.port or 465, "localhost", timeout=TIMEOUT, context=secure
        )
    elif url.scheme == "smtp":
        connection = smtplib.SMTP(host, url.port or 25, "localhost", timeout=TIMEOUT)
    else:
        raise Permanent(f"SAGA_SMTP_URL must start with smtp:// or smtps://, not {url.scheme!r}")
    try:
        if url.username:
            connection.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        connection.close()
        raise
    return connection


def _refused(code: int, error: smtplib.SMTPException) -> Exception:
    text = f"the mail server refuses this mail ({code}): {_reason(error)}"
    return Permanent(text) if code >= 500 else CallFailed(text)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {shorten(str(error))}"
