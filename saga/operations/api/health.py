"""Whether this server can do its work, and which dependency is down if it cannot. No token."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import psycopg
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from saga.errors import SchemaOutdated
from saga.operations.api.services import Services
from saga.storage import migrate
from saga.storage.urls import libpq_url

router = APIRouter(tags=["health"])

_WITHIN = 3.0  # seconds in which a dependency that is up has answered, or less
_FRESH = 1.0  # seconds for which an answer is given again: anybody may ask, however often

State = Literal["up", "down", "outdated", "not configured"]


class Health(BaseModel):
    """`ok` if all that is configured is up."""

    status: Literal["ok", "down"]
    postgres: State
    redis: State


class Alive(BaseModel):
    """This process answers."""

    status: Literal["ok"]


@router.get("/health/live")
async def live() -> Alive:
    """Whether this process answers; asks nobody else."""
    return Alive(status="ok")


@router.get("/health", response_model=Health, responses={503: {"model": Health}})
async def health(request: Request) -> JSONResponse:
    """Whether Postgres and Redis answer; 503 if one that is configured does not.

    With Redis down sagas can still be started, and run as soon as it is back.
    """
    probes: Probes = request.app.state.probes
    postgres, redis = await asyncio.gather(probes.postgres(), probes.redis())
    good = postgres == "up" and redis in ("up", "not configured")
    found = Health(status="ok" if good else "down", postgres=postgres, redis=redis)
    return JSONResponse(found.model_dump(), 200 if good else 503)


class Probes:
    """Asks the dependencies, from threads of its own: those for requests may all be waiting."""

    def __init__(self, shared: Services) -> None:
        self._settings = shared.settings
        self._within = min(_WITHIN, shared.settings.timeout * 0.6)
        self._threads = ThreadPoolExecutor(4, "saga-health")
        self._asked: dict[Callable[[], State], tuple[float, asyncio.Future[State]]] = {}

    async def postgres(self) -> State:
        """Also `outdated`: it answers, but wants `saga migrate`."""
        return await self._ask(self._postgres)

    async def redis(self) -> State:
        if not self._settings.broker_url:
            return "not configured"
        return await self._ask(self._redis)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, probe: Callable[[], State]) -> State:
        """One asks for all who want to know at the same time."""
        now = asyncio.get_running_loop().time()
        at, answer = self._asked.get(probe, (-_FRESH, None))
        if answer is None or now - at >= _FRESH:
            answer = asyncio.ensure_future(self._answer(probe))
            self._asked[probe] = now, answer
        return await asyncio.shield(answer)

    async def _answer(self, probe: Callable[[], State]) -> State:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, probe), self._within)
        except TimeoutError:
            return "down"

    def _postgres(self) -> State:
        url = libpq_url(self._settings.database_url)
        try:
            with psycopg.connect(url, connect_timeout=3) as connection:
                migrate.check(connection)
        except psycopg.Error:
            return "down"
        except SchemaOutdated:
            return "outdated"
        return "up"

    def _redis(self) -> State:
        import redis

        try:
            with redis.Redis.from_url(
                self._settings.broker_url or "", socket_timeout=2, socket_connect_timeout=2
            ) as connection:
                connection.ping()
        except (redis.RedisError, OSError):
            return "down"
        return "up"
