"""The columns of the statements, from the classes whose rows they are: the two cannot part."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from types import NoneType
from typing import Any, LiteralString, cast, get_args, get_type_hints
from uuid import UUID

from saga.storage import payloads

_TYPES = {bool: "bool", int: "int", float: "float8", UUID: "uuid"}


class Columns:
    """The fields of a class by name, and in the place of a field that is a row itself, that row's.

    `without`: fields that are no columns.
    """

    def __init__(self, of: type, *without: str) -> None:
        fields = [field for field in _fields(of) if field[0] not in without]
        self.names = cast("list[LiteralString]", [path.rpartition(".")[2] for path, _ in fields])
        self._types = cast("list[LiteralString]", [_type(*field) for field in fields])
        self.values: Callable[[Any], tuple[Any, ...]] = attrgetter(*[path for path, _ in fields])
        """The values of an object, in this order."""
        # Made as text, as a dataclass makes its methods: a loop over names takes thrice as long.
        pairs = ", ".join(f"{path.rpartition('.')[2]!r}: row.{path}" for path, _ in fields)
        self.as_json: Callable[[str, Any], dict[str, Any]] = eval(  # noqa: S307
            f"lambda owner, row: {{'id': owner, {pairs}}}"
        )
        """An object for a recordset: its values by column, and whose they are as `id`."""

    @property
    def listed(self) -> LiteralString:
        """`position, undo, args`: to insert into."""
        return ", ".join(self.names)

    def of(self, alias: LiteralString) -> LiteralString:
        """`a.position, a.undo, a.args`: as they are."""
        return ", ".join(f"{alias}.{name}" for name in self.names)

    def read(self, alias: LiteralString) -> LiteralString:
        """`t.position, t.undo, t.args::text AS args`: out of a table."""
        return self._payloads(alias, lambda name: f"{payloads.read(f'{alias}.{name}')} AS {name}")

    def written(self, alias: LiteralString, **others: LiteralString) -> LiteralString:
        """`a.position, a.undo, a.args::json`: into a table. `others`: expressions that are written
        into these columns instead.
        """
        return self._payloads(
            alias,
            lambda name: others[name] if name in others else payloads.written(f"{alias}.{name}"),
        )

    @property
    def typed(self) -> LiteralString:
        """`position int, undo bool, args text`: to define a recordset."""
        pairs = zip(self.names, self._types, strict=True)
        return ", ".join(f"{name} {type_}" for name, type_ in pairs)

    @property
    def arrays(self) -> LiteralString:
        """`%(position)s::int[], %(undo)s::bool[], %(args)s::text[]`: to unnest `parameters`."""
        pairs = zip(self.names, self._types, strict=True)
        return ", ".join(f"%({name})s::{type_}[]" for name, type_ in pairs)

    def parameters(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """The values of many objects, column by column."""
        columns = zip(*map(self.values, rows), strict=True) if rows else [()] * len(self.names)
        return dict(zip(self.names, map(list, columns), strict=True))

    def _payloads(
        self, alias: LiteralString, told: Callable[[LiteralString], LiteralString]
    ) -> LiteralString:
        return ", ".join(
            told(name) if name in payloads.COLUMNS else f"{alias}.{name}" for name in self.names
        )


def _fields(of: type) -> Iterator[tuple[str, Any]]:
    for name, hint in get_type_hints(of).items():
        if _is_row(hint):
            yield from ((f"{name}.{inner}", type_) for inner, type_ in _fields(hint))
        else:
            yield name, hint


def _is_row(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple)


def _type(path: str, hint: Any) -> str:
    if path.endswith(("worker_id", "digest")):
        return "bigint"
    plain = next((part for part in get_args(hint) if part is not NoneType), hint)
    return _TYPES.get(plain, "text")
