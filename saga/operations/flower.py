"""Flower, which shows Celery's workers and tasks in a browser."""

import importlib.util
import sys
from dataclasses import dataclass, field

from saga.operations.child_process import Child
from saga.operations.embedded.ports import LOOPBACK

USER = "saga"


@dataclass(frozen=True, slots=True)
class Flower:
    """A Flower on the loopback interface only, behind a password."""

    port: int
    password: str = field(repr=False)
    user: str = USER

    @property
    def url(self) -> str:
        """Where it listens, for people."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def url_for_programs(self) -> str:
        """The same with name and password in it, as curl takes it."""
        return self.url.replace("://", f"://{self.user}:{self.password}@", 1)

    def start(self, broker_url: str) -> Child:
        """Run it. What is secret goes through the environment: others can read a command line."""
        environment = {
            "CELERY_BROKER_URL": broker_url,
            "FLOWER_ADDRESS": LOOPBACK,
            "FLOWER_PORT": str(self.port),
            "FLOWER_BASIC_AUTH": f"{self.user}:{self.password}",
            "FLOWER_LOGGING": "error",
        }
        return Child([sys.executable, "-m", "celery", "--quiet", "flower"], environment)


def is_installed() -> bool:
    """Whether the extra `flower` is."""
    return importlib.util.find_spec("flower") is not None
