"""The web app: it starts sagas and tells how they are. It imports no worker's code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

import saga


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for all requests."""
    app.state.saga = saga.Client()
    yield
    app.state.saga.close()


def client_of(request: Request) -> saga.Client:
    """The client of this app."""
    return request.app.state.saga


app = FastAPI(lifespan=lifespan)
Sagas = Annotated[saga.Client, Depends(client_of)]


class Order(BaseModel):
    """What is ordered."""

    address: str
    items: list[str]


@app.post("/orders", status_code=202)
def create(
    wanted: Order, sagas: Sagas, idempotency_key: Annotated[str, Header()]
) -> dict[str, Any]:
    """A `def` endpoint runs in a thread, as the client waits for Postgres."""
    try:
        handle = sagas.start("order", key=idempotency_key, **wanted.model_dump())
    except saga.KeyConflict as error:
        raise HTTPException(409, str(error)) from error
    return {"id": str(handle.id)}


@app.get("/orders/{order}")
def show(order: UUID, sagas: Sagas) -> dict[str, Any]:
    """How it is."""
    return {"status": sagas.handle(order).status()}
