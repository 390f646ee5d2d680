"""Callbacks on paper: the form of their URLs, and their signatures. Nothing is sent here.

A callback is signed as https://www.standardwebhooks.com says, so receivers need none of our code.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from saga.errors import InvalidInput

_LONGEST = 2000
_WANTED = "want a URL like https://example.com/hooks/sagas (http only where workers allow it)"
_PRINTABLE = re.compile(r"[!-~]+")
_PLACE = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_SHORTEST_SECRET = 16
_PREFIX = "whsec_"


def check_url(url: str, field: str = "callback") -> str:
    """The URL; raises InvalidInput for what can never be called.

    Whether its addresses may be called is decided when it is.
    """
    if not _PRINTABLE.fullmatch(url) or len(url) > _LONGEST:
        raise InvalidInput(f"{field}: {_WANTED}, in ASCII, at most {_LONGEST} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
        if "[" in parts.netloc:
            IPv6Address(parts.hostname or "")
    except ValueError:
        raise InvalidInput(f"{field}: {_WANTED}") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(f"{field}: no user or password in it: what is sent is signed")
    if parts.scheme not in ("http", "https") or not _PLACE.fullmatch(parts.netloc):
        raise InvalidInput(f"{field}: {_WANTED}")
    if port == 0 or "#" in url:
        raise InvalidInput(f"{field}: no port 0 and no fragment (#...) in it")
    return url


def parse_secrets(text: str, field: str) -> tuple[bytes, ...]:
    """Secrets parted by commas: `whsec_` and base64, or any text of 16 bytes or more.

    More than one while receivers change from the old one to the new. Raises InvalidInput.
    """
    return tuple(_secret(part.strip(), field) for part in text.split(",") if part.strip())


def _secret(text: str, field: str) -> bytes:
    try:
        secret = (
            base64.b64decode(text.removeprefix(_PREFIX), validate=True)
            if text.startswith(_PREFIX)
            else text.encode()
        )
    except binascii.Error:
        raise InvalidInput(f"{field}: after {_PREFIX} want base64") from None
    if len(secret) < _SHORTEST_SECRET:
        raise InvalidInput(f"{field}: at least {_SHORTEST_SECRET} bytes")
    return secret


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`: one signature for each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
