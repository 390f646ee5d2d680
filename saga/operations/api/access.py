"""Whether those who ask may: what the roles of their tokens allow."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from saga.operations.api.known import refuse_unknown_parameters
from saga.operations.api.problems import Refusal
from saga.operations.tokens import ADMINISTER, APPROVE, MAY, OPERATE, READ
from saga.storage.tokens import Holder

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token from `saga token create`.",
)


def _allowed(what: str) -> Callable[..., Any]:
    async def holder(request: Request, _: Annotated[Any, Depends(_BEARER)]) -> Holder:
        found: Holder | None = request.scope.get("state", {}).get("holder")
        if found is None:  # nothing comes this far without one: see `Edge`
            raise Refusal(401, "want a token", "header.authorization", WWW_Authenticate="Bearer")
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


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"


Viewer = Annotated[Holder, Depends(_allowed(READ))]
Operating = Annotated[Holder, Depends(_allowed(OPERATE))]
Approver = Annotated[Holder, Depends(_allowed(APPROVE))]
Admin = Annotated[Holder, Depends(_allowed(ADMINISTER))]
