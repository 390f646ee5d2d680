"""Which sagas: in a query, and in the body of an action on many."""

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field

from saga.core.saga_filter import SagaFilter
from saga.core.states import SagaStatus
from saga.errors import InvalidInput
from saga.operations.api.params import Body, Moment, Version, Words

_KEY = "The key that it was started with."
_STEP = "It stands at this step or undo, or failed at it."
_ERROR = "Part of its error, or of a step's that is tried again or blocked; `*` is anything."
_WAITS = (
    "`approval`, `signal`, `timer`, `child`, `worker`, `retry`, `unknown`, `person` (blocked), one "
    "of them with a name as `approval:refund`, or a name."
)
_SINCE = "Started since: 30m, 2h, 1d ago, or a time."
_UNTIL = "Started before: 2h, 1d ago, or a time."
_OLDER = "Started longer ago: 30m, 2h, 1d."
_ROOTS = "None that another saga has started."
_ATTRIBUTE = "`name=value`, or a range as `amount>=10`; all of them must hold."


def filter_of(name: str = "name") -> Callable[..., SagaFilter]:
    """A dependency that reads a filter from the query; `name` is the parameter of the saga's."""

    def wanted(
        *,
        saga_name: Annotated[Words | None, Query(alias=name, description="Of the saga.")] = None,
        key: Annotated[Words | None, Query(description=_KEY)] = None,
        status: Annotated[list[SagaStatus], Query(max_length=20)] = [],  # noqa: B006 - copied
        version: Annotated[Version | None, Query()] = None,
        step: Annotated[Words | None, Query(description=_STEP)] = None,
        error: Annotated[Words | None, Query(description=_ERROR)] = None,
        waits_for: Annotated[Words | None, Query(description=_WAITS)] = None,
        since: Annotated[Moment | None, Query(description=_SINCE)] = None,
        until: Annotated[Moment | None, Query(description=_UNTIL)] = None,
        older_than: Annotated[Moment | None, Query(description=_OLDER)] = None,
        roots: Annotated[bool, Query(description=_ROOTS)] = False,
        attribute: Annotated[list[Words], Query(max_length=20, description=_ATTRIBUTE)] = [],  # noqa: B006 - copied
    ) -> SagaFilter:
        return checked(
            SagaFilter(
                name=saga_name,
                statuses=status,
                since=since,
                version=version,
                attributes=attribute,
                key=key,
                until=until,
                older_than=older_than,
                step=step,
                error=error,
                waits_for=waits_for,
                roots=roots,
            ),
            "query",
        )

    return wanted


Wanted = Annotated[SagaFilter, Depends(filter_of())]
WantedBySagaName = Annotated[SagaFilter, Depends(filter_of("saga_name"))]


class FilterBody(Body):
    """Which sagas; all that is given must hold, and something must be."""

    name: Words | None = None
    key: Words | None = Field(None, description=_KEY)
    status: list[SagaStatus] = Field(default_factory=list[SagaStatus], max_length=20)
    version: Version | None = None
    step: Words | None = Field(None, description=_STEP)
    error: Words | None = Field(None, description=_ERROR)
    waits_for: Words | None = Field(None, description=_WAITS)
    since: Moment | None = Field(None, description=_SINCE)
    until: Moment | None = Field(None, description=_UNTIL)
    older_than: Moment | None = Field(None, description=_OLDER)
    roots: bool = Field(False, description=_ROOTS)
    attribute: list[Words] = Field(default_factory=list[str], max_length=20, description=_ATTRIBUTE)

    def wanted(self) -> SagaFilter:
        """As a filter. Raises InvalidInput, also for one that lets all sagas through."""
        given: dict[str, Any] = self.model_dump()
        given["statuses"], given["attributes"] = given.pop("status"), given.pop("attribute")
        assert given.keys() == {field.name for field in fields(SagaFilter)}
        found = SagaFilter(**given)
        if found.is_empty:
            raise InvalidInput("filter: say which sagas")
        return checked(found, "filter")


def checked(wanted: SagaFilter, place: str) -> SagaFilter:
    """Itself. Raises InvalidInput with the field below `place`."""
    try:
        wanted.check()
    except InvalidInput as error:
        raise InvalidInput(f"{place}.{error}") from None
    return wanted
