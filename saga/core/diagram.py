"""The transition tables as Mermaid diagrams, for people who read the README."""

from collections.abc import Collection, Mapping
from enum import StrEnum


def diagram(moves: Mapping[StrEnum | None, Collection[StrEnum]]) -> str:
    """A `stateDiagram-v2` of a table; states without a way out lead to the end."""
    lines = ["stateDiagram-v2"]
    for before, targets in moves.items():
        start = "[*]" if before is None else str(before)
        lines += [f"    {start} --> {after}" for after in sorted(targets)]
        if not targets:
            lines.append(f"    {start} --> [*]")
    return "\n".join(lines)
