"""Reads for people: the command line, the HTTP API. None of it writes or is on the hot path.

Each function takes a connection of `snapshot`, so that what several of them return fits together.
"""

from saga.core.saga_filter import SagaFilter
from saga.storage.queries.approvals import Approval, ApprovalFilter, approvals
from saga.storage.queries.audit import AuditRow, audit
from saga.storage.queries.backlog import Backlog, backlog
from saga.storage.queries.blocked import BlockedItem, blocked
from saga.storage.queries.callbacks import CallbackFilter, CallbackRow, callbacks
from saga.storage.queries.detail import SagaDetail, SignalRow, StepDetail, detail, detail_page
from saga.storage.queries.effects import Effect, EffectFilter, effects
from saga.storage.queries.history import Attempt, Transition, history, history_page
from saga.storage.queries.identity import announced_input, find_saga, known_sagas
from saga.storage.queries.listing import SagaRow, list_sagas
from saga.storage.queries.page import Cursor, Page, Unread
from saga.storage.queries.snapshot import reader, shown_url, snapshot
from saga.storage.queries.standstill import Crew, Standstill, standstill
from saga.storage.queries.stats import GROUPS, Count, stats
from saga.storage.queries.stranded import StrandedItem, stranded
from saga.storage.queries.tracebacks import TracebackRow, tracebacks
from saga.storage.queries.workers import WorkerRow, has_worked, workers

__all__ = [
    "GROUPS",
    "Approval",
    "ApprovalFilter",
    "Attempt",
    "AuditRow",
    "Backlog",
    "BlockedItem",
    "CallbackFilter",
    "CallbackRow",
    "Count",
    "Crew",
    "Cursor",
    "Effect",
    "EffectFilter",
    "Page",
    "SagaDetail",
    "SagaFilter",
    "SagaRow",
    "SignalRow",
    "Standstill",
    "StepDetail",
    "StrandedItem",
    "TracebackRow",
    "Transition",
    "Unread",
    "WorkerRow",
    "announced_input",
    "approvals",
    "audit",
    "backlog",
    "blocked",
    "callbacks",
    "detail",
    "detail_page",
    "effects",
    "find_saga",
    "has_worked",
    "history",
    "history_page",
    "known_sagas",
    "list_sagas",
    "reader",
    "shown_url",
    "snapshot",
    "standstill",
    "stats",
    "stranded",
    "tracebacks",
    "workers",
]
