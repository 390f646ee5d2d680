"""The demo's customer register: read-only, every customer number is known to it."""

from __future__ import annotations

import re
from pathlib import Path

from saga.operations.demo.ledger import Ledger
from saga.operations.demo.web import Reply, Request

FIRST = ("Ada", "Ben", "Chloé", "Dmitri", "Esra", "Femi", "Grace", "Hiro", "Inés", "Jamal")
LAST = ("Abiola", "Brown", "Castillo", "Dahl", "Eriksen", "Fischer", "García", "Haddad", "Ito")
PLANS = ("standard", "plus", "premium")
NUMBER = re.compile(r"/customers/C-(\d{1,9})")


class Crm:
    """`GET /customers/C-00042`."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "crm.db")

    async def handle(self, request: Request) -> Reply:
        """Answer one request."""
        found = NUMBER.fullmatch(request.path)
        if request.method != "GET" or found is None:
            reply = Reply.of(404, {"error": {"message": "GET /customers/C-00042 is what is here"}})
        else:
            reply = Reply.of(200, customer(int(found[1])))
        return self.ledger.note(request, request.path.rpartition("/")[2], reply)


def customer(number: int) -> dict[str, str]:
    """The customer of that number, always the same one."""
    return {
        "id": f"C-{number:05d}",
        "name": f"{FIRST[number % len(FIRST)]} {LAST[number % len(LAST)]}",
        "email": f"customer-{number:05d}@example.com",
        "plan": PLANS[number % len(PLANS)],
    }
