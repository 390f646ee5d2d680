"""What every request passes first: who asks, its body, its thread, and how long it may take."""

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import Hashable
from contextlib import ExitStack
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from saga.errors import SagaError
from saga.operations.api.answer import Answer
from saga.operations.api.bodies import Bodies, Incoming, replay
from saga.operations.api.callers import Callers, Shown
from saga.operations.api.lanes import Lanes
from saga.operations.api.problems import Refusal, of_error
from saga.operations.api.settings import ApiSettings
from saga.operations.api.shares import Shares

log = logging.getLogger("saga.api")

_LINGERING = 20  # of one address, to whom a refusal is still on its way


class _Request(NamedTuple):
    """One that shows a token. `places`: what it takes of the limits, until it is answered."""

    scope: Scope
    incoming: Incoming
    answer: Answer
    shown: Shown
    places: ExitStack


class Edge:
    """Token, body, lane, app, within a time.

    What needs no token, such as `/health`, passes by all of that, and none of its body is read. The
    work of a request that took too long goes on by itself once it has begun: it may still be
    carried out, which the answer says.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._timeout = settings.timeout
        self._waiting = Shares(settings.waiting, each=settings.waiting)
        self._of_each = Shares(settings.waiting)
        self._bodies = Bodies(settings)
        self._lanes = Lanes()
        self._lingering = Shares(10 * _LINGERING, each=_LINGERING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = Incoming(scope, receive)
        answer = Answer(scope, incoming, send, self._lingering)
        if not _needs_token(scope["path"]):
            await self._app(scope, replay(b"", receive), answer.send)
            return
        try:
            shown = _callers(scope).shown(scope)
            with ExitStack() as places:
                answer.on_stream = places.close  # streams have a limit of their own
                _take(self._waiting, None, places, "too many requests are under way")
                await self._within_time(_Request(scope, incoming, answer, shown, places))
        except (Refusal, SagaError) as error:
            await answer.give(of_error(error))

    async def _within_time(self, request: _Request) -> None:
        """Raises Refusal, and SagaError."""
        work = asyncio.ensure_future(self._handle(request))
        started = asyncio.ensure_future(request.answer.started.wait())
        try:
            await asyncio.wait({work, started}, timeout=self._timeout, return_when=FIRST_COMPLETED)
            if request.answer.started.is_set() or work.done():
                await work
                return
            work.add_done_callback(_forget)
            if not request.answer.has_begun:
                work.cancel()
            raise self._late(request.answer)
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            started.cancel()

    def _late(self, answer: Answer) -> Refusal:
        if answer.has_begun:
            text = "whether it was carried out is not known: repeat it with the same key"
        else:
            text = "nothing was done"
        return Refusal(503, f"no answer within {self._timeout:g} s; {text}")

    async def _handle(self, request: _Request) -> None:
        scope, incoming, answer, shown, places = request
        holder = await run_in_threadpool(_callers(scope).holder, shown)
        scope.setdefault("state", {})["holder"] = holder
        _take(self._of_each, holder.id, places, "too many requests of this token are under way")
        async with (
            self._lanes.lane(scope),
            self._bodies.body(scope, incoming, shown.address, holder.id) as body,
        ):
            answer.has_begun = True
            await self._app(scope, replay(body, incoming), answer.send)


def _callers(scope: Scope) -> Callers:
    return scope["app"].state.services.callers


def _take(shares: Shares, who: Hashable, places: ExitStack, full: str) -> None:
    """Raises Refusal."""
    if not places.enter_context(shares.held(who)):
        raise Refusal(503, full)


def _needs_token(path: str) -> bool:
    return path in {"/metrics", "/v1"} or path.startswith("/v1/")


def _forget(work: "asyncio.Future[None]") -> None:
    """Its answer has been given; an error of it is logged, and no more."""
    if not work.cancelled() and work.exception() is not None:
        log.warning("a request failed after its time: %s", type(work.exception()).__name__)
