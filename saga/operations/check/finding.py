"""What is wrong, and where."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["clock", "chance", "io", "await", "pivot"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line of a saga's code."""

    file: str
    line: int
    saga: str
    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message} (saga {self.saga})"
