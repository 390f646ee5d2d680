"""All the demo's services in one process: `python -m saga.operations.demo.services --dir DIR`.

Each listens on a free loopback port and keeps a ledger in DIR. When all are ready, one JSON line
on stdout names their addresses. The process ends on SIGTERM, or when its stdin closes, so that it
never outlives the one who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from saga.operations.demo import mailbox, web
from saga.operations.demo.crm import Crm
from saga.operations.demo.ledger import Ledger
from saga.operations.demo.mailbox import Mailbox
from saga.operations.demo.model import Model
from saga.operations.demo.payments import Payments
from saga.operations.demo.tickets import Tickets


class Service(Protocol):
    """Something that answers requests and keeps a ledger."""

    ledger: Ledger

    def handle(self, request: web.Request) -> Awaitable[web.Reply | web.Wire]:
        """Answer one request."""
        ...


class Services:
    """The running services; `addresses` maps each one's name to its URL."""

    def __init__(self, directory: Path, trouble: float = 0.0) -> None:
        self.addresses: dict[str, str] = {}
        self.model = Model(directory, trouble)
        self._http: dict[str, Service] = {
            "model": self.model,
            "crm": Crm(directory),
            "tickets": Tickets(directory),
            "payments": Payments(directory),
        }
        self.mailbox = Mailbox(directory)
        self._listeners: list[web.Server | asyncio.Server] = []

    async def start(self) -> None:
        """Open all ports."""
        for name, service in self._http.items():
            server, self.addresses[name] = await web.serve(_recording(service))
            self._listeners.append(server)
        listener, self.addresses["mail"] = await mailbox.serve(self.mailbox)
        self._listeners.append(listener)

    def close(self) -> None:
        """Close all ports and ledgers."""
        for listener in self._listeners:
            listener.close()
        for service in (*self._http.values(), self.mailbox):
            service.ledger.close()


def settings(addresses: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes the support agent use these services."""
    # A proxy is for the way out; these addresses are on this machine.
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"]))
    chosen = {
        "SAGA_CRM_URL": addresses["crm"],
        "SAGA_TICKETS_URL": addresses["tickets"],
        "SAGA_PAYMENTS_URL": addresses["payments"],
        "SAGA_SMTP_URL": addresses["mail"],
        "NO_PROXY": direct,
        "no_proxy": direct,
    }
    if not os.environ.get("ANTHROPIC_API_KEY"):
        chosen["ANTHROPIC_API_KEY"] = "stand-in"
        chosen["ANTHROPIC_BASE_URL"] = addresses["model"]
    return chosen


@contextmanager
def serving(directory: Path, trouble: float = 0.0) -> Generator[Services]:
    """Run the services in a thread of this process, as tests want them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="demo services")
    thread.start()

    async def start() -> Services:
        services = Services(directory, trouble)
        await services.start()
        return services

    async def stop(services: Services) -> None:
        services.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        services = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield services
        finally:
            asyncio.run_coroutine_threadsafe(stop(services), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _recording(service: Service) -> web.Handler:
    """Let refused requests be recorded, too."""

    async def handle(request: web.Request) -> web.Reply | web.Wire:
        try:
            return await service.handle(request)
        except web.BadRequestError as error:
            return service.ledger.note(request, "", web.refusal(error))

    return handle


async def run(directory: Path, trouble: float) -> None:
    """Serve until SIGTERM or the end of stdin."""
    loop, stop, stdin = asyncio.get_running_loop(), asyncio.Event(), sys.stdin.fileno()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole terminal group; who started this process ends it when it is done.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_reader(stdin, lambda: os.read(stdin, 4096) or stop.set())
    services = Services(directory, trouble)
    await services.start()
    sys.stdout.write(json.dumps(services.addresses) + "\n")
    sys.stdout.flush()
    await stop.wait()
    services.close()


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the ledgers go")
    parser.add_argument(
        "--trouble", type=float, default=0.0, help="share of model calls that fail at first"
    )
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(options.dir, options.trouble))


if __name__ == "__main__":
    main()
