"""The support agent: a customer's message becomes a ticket, a confirmation and a refund.

classify (llm) and fetch the customer (crm) at the same time → open a ticket (tickets) → set the
money aside (payments) → confirm by mail (email) → wait for a person's approval → pay (payments).
When the refund is declined, the mail is corrected, the money released and the ticket closed.

    saga worker --app saga.tasks.support --queues llm,crm,tickets,email,payments,sagas
    saga start resolve_issue --input '{"issue": {"id": "A-1", "text": "…", …}}'
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic import BaseModel, Field

from saga import Permanent, Retry, approval, saga, step
from saga.tasks import desk, mail
from saga.tasks.desk import Category, Customer, Hold, Refund, Ticket
from saga.tasks.keys import forward_key
from saga.tasks.mail import SentMail
from saga.tasks.model import MODEL_RETRY, decide

QUEUES = ("llm", "crm", "tickets", "email", "payments", "sagas")

ROUTER = (
    "You route messages that customers of a bank write to its support. Say what the message is"
    " about and whether it must be dealt with today: lost or stolen cards, payments nobody made,"
    " money that is missing."
)

PATIENT = Retry(max_attempts=8, first=timedelta(milliseconds=500), maximum=timedelta(minutes=1))
SHORT = timedelta(seconds=60)


class Issue(BaseModel):
    """A customer's message and what it is about."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    customer_id: str
    cents: int = Field(gt=0)


class Classification(BaseModel):
    """What the model makes of a message."""

    category: Category
    urgent: bool


class Resolution(BaseModel):
    """How an issue ended."""

    ticket: Ticket
    category: Category
    refund: Refund


@step(queue="llm", retry=MODEL_RETRY, timeout=timedelta(minutes=3), read_only=True)
async def classify(text: str) -> Classification:
    """Let the model say what the message is about."""
    return await decide(text, Classification, system=ROUTER, max_tokens=300)


@step(queue="crm", retry=PATIENT, timeout=SHORT, read_only=True)
async def fetch_customer(customer_id: str) -> Customer:
    """Look the customer up."""
    return await desk.customer(customer_id)


@step(queue="tickets", retry=PATIENT, timeout=SHORT)
async def create_ticket(reference: str, customer_id: str, category: Category, text: str) -> Ticket:
    """Open a ticket."""
    return await desk.open_ticket(reference, customer_id, category, text)


@create_ticket.probe
async def find_ticket(
    reference: str, customer_id: str, category: Category, text: str
) -> Ticket | None:
    """Did this step open a ticket?"""
    del reference, customer_id, category, text
    return await desk.ticket_of(forward_key())


@create_ticket.compensation
async def close_ticket(
    ticket: Ticket | None, reference: str, customer_id: str, category: Category, text: str
) -> None:
    """Close the ticket; one whose opening is still on its way will be refused."""
    del ticket, customer_id, category, text
    await desk.close_ticket(reference, forward_key())


@step(queue="payments", retry=PATIENT, timeout=SHORT)
async def hold_funds(reference: str, customer_id: str, cents: int) -> Hold:
    """Set the money aside."""
    return await desk.hold_funds(reference, customer_id, cents)


@hold_funds.probe
async def find_hold(reference: str, customer_id: str, cents: int) -> Hold | None:
    """Did this step set the money aside?"""
    del reference, customer_id, cents
    return await desk.hold_of(forward_key())


@hold_funds.compensation
async def release_funds(hold: Hold | None, reference: str, customer_id: str, cents: int) -> None:
    """Release the money; a hold that is still on its way will be refused."""
    del hold, customer_id, cents
    await desk.release_funds(reference, forward_key())


@step(queue="email", retry=PATIENT, timeout=SHORT)
def send_confirmation(reference: str, customer: Customer, ticket_id: str, cents: int) -> SentMail:
    """Tell the customer that somebody is looking into it."""
    return mail.send(
        customer.email,
        f"[{ticket_id}] We are looking into it",
        f"Dear {customer.name},\n\nthank you for your message. Your ticket is {ticket_id}, and"
        f" {_amount(cents)} are set aside for you until we have decided.\n\nYour support team\n",
        headers=_labels(reference, "mail.confirm"),
    )


@send_confirmation.compensation
def send_correction(
    sent: SentMail | None, reference: str, customer: Customer, ticket_id: str, cents: int
) -> None:
    """A mail cannot be unsent: tell the customer that it no longer holds."""
    del sent
    mail.send(
        customer.email,
        f"[{ticket_id}] We cannot pay this refund",
        f"Dear {customer.name},\n\nwe could not pay {_amount(cents)} to your account. Ticket"
        f" {ticket_id} is closed; please write to us again.\n\nYour support team\n",
        headers=_labels(reference, "mail.correct"),
    )


@step(queue="payments", retry=PATIENT, timeout=SHORT, irreversible=True)
async def refund(reference: str, hold_id: str) -> Refund:
    """Pay the money back; the payments decline it for good when the account is closed."""
    return await desk.pay_back(reference, hold_id)


@refund.probe
async def find_refund(reference: str, hold_id: str) -> Refund | None:
    """Did this step pay?"""
    del reference, hold_id
    return await desk.refund_of(forward_key())


@saga(version=1)
async def resolve_issue(issue: Issue) -> Resolution:
    """Resolve one issue, or leave nothing of it behind."""
    classification, customer = await asyncio.gather(
        classify(issue.text), fetch_customer(issue.customer_id)
    )
    ticket = await create_ticket(issue.id, customer.id, classification.category, issue.text)
    hold = await hold_funds(issue.id, customer.id, issue.cents)
    await send_confirmation(issue.id, customer, ticket.id, issue.cents)
    decision = await approval(
        "refund",
        details={"issue": issue.id, "customer": customer.name, "cents": issue.cents},
        timeout=timedelta(days=3),
    )
    if not decision.approved:
        raise RefundRejected(decision.reason or "nobody approved it in time")
    paid = await refund(issue.id, hold.id)
    return Resolution(ticket=ticket, category=classification.category, refund=paid)


class RefundRejected(Permanent):
    """A person, or the time limit, decided against the refund."""


def _amount(cents: int) -> str:
    return f"€{cents // 100}.{cents % 100:02d}"


def _labels(reference: str, operation: str) -> dict[str, str]:
    return {"X-Reference": reference, "X-Operation": operation}
