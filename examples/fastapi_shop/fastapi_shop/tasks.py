"""Its tasks, as they were."""

import os
from pathlib import Path

from fastapi_shop.celery_app import app


@app.task(autoretry_for=(OSError,), max_retries=5, default_retry_delay=1)
def reserve(item: str) -> str:
    """Puts an item aside."""
    if item == "unicorn":
        raise LookupError("no such item")
    return f"reservation of {item}"


@app.task
def release(reservation: str | None, item: str) -> None:
    """Puts it back."""
    _log(f"released {reservation}")


@app.task(bind=True, soft_time_limit=20)
def send_mail(self, address: str, text: str) -> None:
    """The mail's id is the same in each attempt, so that it is sent once."""
    _log(f"mail {self.request.id} to {address}: {text}")


def _log(text: str) -> None:
    with Path(os.environ["SHOP_LOG"]).open("a") as file:
        file.write(f"{text}\n")
