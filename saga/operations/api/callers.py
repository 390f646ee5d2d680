"""Who calls: found by the token, before anything else of a request is looked at."""

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Scope

from saga.client.connections import Connections
from saga.operations.api.problems import Refusal
from saga.operations.api.rates import Rates
from saga.operations.api.settings import ApiSettings
from saga.operations.tokens import hashed
from saga.storage import tokens
from saga.storage.tokens import Holder

_LONGEST = 200  # letters of a token
_KEPT = 1000  # digests of tokens that were valid
_SCHEME = b"bearer "
_WANTED = "want `Authorization: Bearer` and a token from `saga token create`"
_UNKNOWN = "this token is not known, was revoked, or has expired"


def address_of(scope: Scope) -> str:
    """Whose limits hold for those who show no valid token. Of IPv6 the network, of which one may
    have all addresses.
    """
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


class Shown(NamedTuple):
    """A token that somebody shows. `was_valid`: so it was before."""

    digest: bytes
    address: str
    was_valid: bool


class Callers:
    """Holders of tokens, and the limits to how often they and others may ask.

    Once an address is over its limit, tokens that are not known to have been valid are not looked
    up. Whoever has shown a valid one before is not kept out by others at the same address.
    """

    def __init__(self, connections: Connections, settings: ApiSettings) -> None:
        self._connections = connections
        self._rates = Rates(settings.rate, settings.burst)
        self._strangers = Rates(settings.rate / 10, max(1.0, settings.burst / 10))
        self._lock = threading.Lock()
        self._valid: OrderedDict[bytes, None] = OrderedDict()

    def shown(self, scope: Scope) -> Shown:
        """A token that may be looked up; asks nobody. Raises Refusal."""
        token = _token(scope["headers"])
        address = address_of(scope)
        digest = hashed(token) if token is not None and len(token) <= _LONGEST else b""
        was_valid = self._was_valid(digest)
        if not was_valid:
            _limit(self._strangers.take(address))
        if not digest:
            raise _refusal(_WANTED if token is None else _UNKNOWN)
        return Shown(digest, address, was_valid)

    def holder(self, shown: Shown) -> Holder:
        """Looked up each time, so that a token that is revoked is so at once. Blocks. Raises
        Refusal, and Unavailable.
        """
        found = self._connections.call(lambda run: tokens.find(run, shown.digest))
        self._remember(shown.digest, found is not None)
        if found is None:
            raise _refusal(_UNKNOWN)
        if not shown.was_valid:
            self._strangers.give_back(shown.address)
        _limit(self._rates.take(found.id))
        return found

    def _was_valid(self, digest: bytes) -> bool:
        with self._lock:
            return digest in self._valid

    def _remember(self, digest: bytes, is_valid: bool) -> None:
        with self._lock:
            self._valid.pop(digest, None)
            if is_valid:
                self._valid[digest] = None
            if len(self._valid) > _KEPT:
                self._valid.popitem(last=False)


def _token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    given = dict(headers).get(b"authorization", b"")
    if given[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return given[len(_SCHEME) :].strip().decode("latin-1")


def _refusal(why: str) -> Refusal:
    return Refusal(401, why, "header.authorization", WWW_Authenticate="Bearer")


def _limit(wait: float) -> None:
    if wait:
        raise Refusal(429, f"ask again in {wait:.1f} s", Retry_After=str(int(wait) + 1))
