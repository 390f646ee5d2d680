"""How steps go wrong when a test says so, in whatever process they run: a file for each."""

import os
from pathlib import Path

from saga import Permanent, Unknown
from tests.faults import effects

FOLDER = "OPERATORS_TROUBLES"


class _Overloaded(Unknown):
    retry_after = 3600.0


class Troubles:
    """What shall go wrong from now on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def make(self, name: str, how: str = "fail") -> None:
        """`fail`, `give_up`, `unknown` (after the effect), `unknown_for_long`, `unknown_before`."""
        (self.folder / name).write_text(how)

    def end(self, name: str) -> None:
        """It works again."""
        (self.folder / name).unlink()


def of(name: str) -> str:
    """How `name` goes wrong now; empty: it does not."""
    try:
        return (Path(os.environ[FOLDER]) / name).read_text()
    except FileNotFoundError:
        return ""


def do(name: str) -> str:
    """Has the effect, unless there is trouble."""
    trouble = of(name)
    _before(trouble)
    receipt = effects.do(name)
    if trouble == "unknown":
        raise Unknown("the connection was cut")
    if trouble == "unknown_for_long":
        raise _Overloaded("come back in an hour")
    return receipt


def undo(name: str, what: str) -> None:
    """Undoes the effect, unless there is trouble with `name`."""
    trouble = of(name)
    _before(trouble)
    effects.undo(what)
    if trouble == "unknown":
        raise Unknown("the connection was cut")


def _before(trouble: str) -> None:
    if trouble == "fail":
        raise RuntimeError("out of order")
    if trouble == "give_up":
        raise Permanent("never")
    if trouble == "unknown_before":
        raise Unknown("no connection")
