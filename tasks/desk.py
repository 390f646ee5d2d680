"""The support agent's outside world: customers, tickets, holds and refunds, as typed calls.

Each service is an HTTP endpoint named by an environment variable. The ticket desk and the payments
deduplicate on `Idempotency-Key`, can be asked what a key has done, and can undo by key: an undo
that arrives before its late original makes the service refuse the original.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from saga.tasks.http import call
from saga.tasks.settings import required

Found = TypeVar("Found", bound=BaseModel)


class Category(StrEnum):
    """What a customer's message is about."""

    CARD = "card"
    TRANSFER = "transfer"
    TOP_UP = "top_up"
    CASH = "cash"
    EXCHANGE = "exchange"
    REFUND = "refund"
    FEE = "fee"
    IDENTITY = "identity"
    ACCOUNT = "account"
    OTHER = "other"


class Customer(BaseModel):
    """A customer as the CRM knows them."""

    id: str
    name: str
    email: str
    plan: str


class Ticket(BaseModel):
    """A ticket at the desk."""

    id: str
    state: str


class Hold(BaseModel):
    """Money set aside for a refund."""

    id: str
    cents: int


class Refund(BaseModel):
    """Money paid back."""

    id: str
    cents: int


async def customer(customer_id: str) -> Customer:
    """The customer of that number."""
    answer = await call("GET", f"{_crm()}/customers/{customer_id}")
    return answer.read_as(Customer)


async def open_ticket(
    reference: str, customer_id: str, category: Category, text: str, key: str | None = None
) -> Ticket:
    """Open a ticket, once per idempotency key."""
    body = {"reference": reference, "customer": customer_id, "category": category, "text": text}
    return (await call("POST", f"{_tickets()}/tickets", json=body, key=key)).read_as(Ticket)


async def ticket_of(key: str) -> Ticket | None:
    """The ticket that was opened under this key."""
    return await _find(f"{_tickets()}/tickets?key={key}", Ticket)


async def close_ticket(reference: str, opened_by: str, key: str | None = None) -> None:
    """Close the ticket that was opened under this key, or refuse it if it comes later."""
    body = {"reference": reference, "opened_by": opened_by}
    await call("POST", f"{_tickets()}/tickets/close", json=body, key=key)


async def hold_funds(reference: str, customer_id: str, cents: int, key: str | None = None) -> Hold:
    """Set money aside, once per idempotency key."""
    body = {"reference": reference, "customer": customer_id, "cents": cents}
    return (await call("POST", f"{_payments()}/holds", json=body, key=key)).read_as(Hold)


async def hold_of(key: str) -> Hold | None:
    """The hold that was made under this key."""
    return await _find(f"{_payments()}/holds?key={key}", Hold)


async def release_funds(reference: str, made_by: str, key: str | None = None) -> None:
    """Release the hold that was made under this key, or refuse it if it comes later."""
    body = {"reference": reference, "made_by": made_by}
    await call("POST", f"{_payments()}/holds/release", json=body, key=key)


async def pay_back(reference: str, hold_id: str, key: str | None = None) -> Refund:
    """Pay what is held to the customer, once per idempotency key."""
    body = {"reference": reference, "hold": hold_id}
    return (await call("POST", f"{_payments()}/refunds", json=body, key=key)).read_as(Refund)


async def refund_of(key: str) -> Refund | None:
    """The refund that was paid under this key."""
    return await _find(f"{_payments()}/refunds?key={key}", Refund)


async def _find(url: str, type_: type[Found]) -> Found | None:
    answer = await call("GET", url, expect={404})
    return None if answer.status == 404 else answer.read_as(type_)


def _crm() -> str:
    return required("SAGA_CRM_URL", "the address of the CRM")


def _tickets() -> str:
    return required("SAGA_TICKETS_URL", "the address of the ticket desk")


def _payments() -> str:
    return required("SAGA_PAYMENTS_URL", "the address of the payments")
