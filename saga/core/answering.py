"""Answers for the verbs of a saga that runs as a plain coroutine, in a unit test."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Generator, Iterator, Mapping
from typing import Any, cast

from saga.errors import OutsideSaga

_answers: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("saga_answers")


_NONE_LEFT = object()


@contextlib.contextmanager
def answering(**answers: Any) -> Generator[None]:
    """Answer approvals and signals by name while a saga runs outside the engine.

    ::

        with answering(refund=True, invoice_paid=iter([{"amount": 3}, TimeoutError()])):
            result = asyncio.run(resolve_issue(issue))

    An approval is answered with a bool or a Decision (or its fields), a signal with its payload,
    which becomes JSON, then the type that the saga asks for, as in production: InvalidInput if it
    does not fit. An iterator gives one answer after the other, and an exception is raised.
    """
    token = _answers.set({**_answers.get({}), **answers})
    try:
        yield
    finally:
        _answers.reset(token)


def answer(kind: str, name: str) -> Any:
    """The answer for a name; OutsideSaga if there is none."""
    answers = _answers.get({})
    if name not in answers:
        raise OutsideSaga(
            f"{kind}({name!r}) needs a running saga; in a test give it an answer: "
            f"`with answering({name}=...):`"
        )
    given = answers[name]
    if isinstance(given, Iterator):
        given = next(cast("Iterator[Any]", given), _NONE_LEFT)
        if given is _NONE_LEFT:
            raise OutsideSaga(f"{kind}({name!r}) has no answer left")
    if isinstance(given, BaseException):
        raise given
    return given
