"""Sagas whose steps call others, in an app that is instrumented: `saga --app tests.live.traced`."""

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from saga import Permanent, Retry, current, saga, step

SOON = Retry(max_attempts=3, first=timedelta(seconds=0.05))


def call(what: str) -> str:
    """What an instrumented HTTP client does; the header that it sends."""
    from opentelemetry import propagate, trace

    headers: dict[str, str] = {}
    with trace.get_tracer("an http client").start_as_current_span(what):
        propagate.inject(headers)
    return headers.get("traceparent", "")


@step
async def reserve(card: str) -> str:
    await asyncio.sleep(0)
    return await asyncio.to_thread(call, "GET /stock")


@reserve.compensation
async def release(reserved: str | None, card: str) -> None:
    call("DELETE /stock")


@step(retry=SOON)
def pay(card: str) -> str:
    if current().attempt == 1:
        raise ValueError(f"cannot charge {card}")
    return call("POST /charges")


@pay.compensation
def pay_back(paid: str | None, card: str) -> None:
    call("POST /refunds")


@step(queue="carriers", retry=SOON)
def carry(card: str) -> None:
    """The first one to carry stops on the way."""
    if current().attempt == 1:
        Path(os.environ["ON_THE_WAY"]).touch()
        time.sleep(600)
    raise Permanent(f"nobody carries {card}")


@saga
async def order(card: str) -> None:
    await reserve(card)
    await pay(card)
    await carry(card)


@saga
async def booking(card: str) -> list[str]:
    return [await reserve(card), await pay(card)]


@saga
async def journey(card: str) -> list[str]:
    """Has a child."""
    return await booking(card)


@step
def loaded() -> list[str]:
    """Of what makes spans: redis-py imports other parts of OpenTelemetry wherever it finds them."""
    makers = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "saga.execution.spans")
    return [name for name in sys.modules if name.startswith(makers)]


@saga
async def inspect() -> list[str]:
    return await loaded()
