"""Who asks, and whether they may: by their bearer tokens."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from saga.operations.api.known import refuse_unknown_parameters
from saga.operations.api.problems import Refusal
from saga.operations.api.services import Services, services
from saga.operations.tokens import ADMINISTER, APPROVE, MAY, OPERATE, READ, hashed
from saga.storage import tokens
from saga.storage.tokens import Holder

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token from `saga token create`.",
)
_LONGEST = 200


def _allowed(what: str) -> Callable[..., Any]:
    def holder(
        request: Request,
        shared: Annotated[Services, Depends(services)],
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> Holder:
        found = _identify(request, shared, given)
        request.scope.setdefault("state", {})["holder"] = found.name
        _limit(shared.rates.take(found.id))
        if what not in MAY[found.role]:
            roles = [role for role, may in MAY.items() if what in may]
            raise Refusal(
                403,
                f"{found.name!r} is {_with_article(found.role)}: to {what} takes one of the roles "
                f"{', '.join(roles)}",
            )
        refuse_unknown_parameters(request)
        return found

    return holder


def _identify(
    request: Request, shared: Services, given: HTTPAuthorizationCredentials | None
) -> Holder:
    found = None
    if given is not None and len(given.credentials) <= _LONGEST:
        digest = hashed(given.credentials)
        found = shared.connections.call(lambda run: tokens.find(run, digest))
    if found is not None:
        return found
    _limit(shared.strangers.take(request.client.host if request.client else ""))
    why = "want `Authorization: Bearer` and a token from `saga token create`"
    if given is not None:
        why = "this token is not known, was revoked, or has expired"
    raise Refusal(401, why, "header.authorization", WWW_Authenticate="Bearer")


def _limit(wait: float) -> None:
    if wait:
        raise Refusal(429, f"ask again in {wait:.1f} s", Retry_After=str(int(wait) + 1))


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"


Viewer = Annotated[Holder, Depends(_allowed(READ))]
Operating = Annotated[Holder, Depends(_allowed(OPERATE))]
Approver = Annotated[Holder, Depends(_allowed(APPROVE))]
Admin = Annotated[Holder, Depends(_allowed(ADMINISTER))]
