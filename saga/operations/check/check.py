"""What a replay could not repeat, and effects before a pivot that nothing takes back: found in the
text of sagas and of the functions of the same file that they call, without importing it.
"""

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from saga.core.loop.audit import REAL
from saga.core.twice import CLOCKS, VERBS
from saga.errors import InvalidInput
from saga.operations.check.finding import Finding, Kind
from saga.operations.check.source import Function, Source, StepText, files, read

_CLOCKS = {f"{clock.__module__}.{clock.__name__}" for clock in CLOCKS} | {
    f"datetime.{of}" for of in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
}
_CHANCE = ("random.", "secrets.", "uuid.uuid1", "uuid.uuid4", "os.urandom")
_FREE = ("random.Random",)  # with a seed of the saga's own it is no chance
_REAL = {name.removeprefix("builtins.") for name in REAL}
_REAL_MODULES = (
    *("socket.", "subprocess.", "urllib.request.", "requests.", "httpx.", "aiohttp.", "sqlite3."),
    *("psycopg.", "psycopg2.", "redis.", "smtplib.", "shutil.", "boto3.", "threading.Thread"),
    *("asyncio.to_thread", "asyncio.open_connection", "asyncio.start_server"),
    "asyncio.create_subprocess",
)
_VERBS = ("saga.approval", "saga.signal", "asyncio.sleep", "asyncio.gather", "asyncio.wait")


def check(modules: Iterable[str]) -> list[Finding]:
    """What is found in these modules or packages (dotted names, or paths), by file and line. Raises
    InvalidInput for what is not there or no Python.
    """
    sources = [source for module in modules for source in _sources(module)]
    steps = {f"{s.module}.{name}": step for s in sources for name, step in s.steps.items()}
    sagas = {f"{s.module}.{name}" for s in sources for name in s.sagas}
    found: set[Finding] = set()
    for source in sources:
        lines = source.path.read_text().splitlines()
        for name, function in source.sagas.items():
            found |= {
                one
                for one in _Saga(source, name, steps, sagas).findings(function)
                if not source.is_ignored(one.line, lines)
            }
    return sorted(found)


class _Saga:
    """One saga's code."""

    def __init__(
        self, source: Source, name: str, steps: Mapping[str, StepText], sagas: set[str]
    ) -> None:
        self._source = source
        self._name = name
        self._steps = steps
        self._awaited = {*steps, *sagas, *_VERBS}
        self._seen: set[str] = set()

    def findings(self, function: Function) -> Iterator[Finding]:
        """Of a function of the saga's, and of those that it calls."""
        self._seen.add(function.name)
        loaded = {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        for node in _inside(function):
            if isinstance(node, ast.Call):
                yield from self._called(node)
            yield from self._forgotten(node, loaded)
        yield from self._before_pivots(function)

    def _called(self, node: ast.Call) -> Iterator[Finding]:
        name = self._source.called(node.func)
        if name is None:
            return
        if name in _CLOCKS:
            yield self._at(node, "clock", f"{name}() gives another time in a replay: use now()")
        elif name.startswith(_CHANCE) and name not in _FREE:
            verb = VERBS.get(name.partition(".")[0], "random()")
            yield self._at(node, "chance", f"{name}() gives something else in a replay: use {verb}")
        elif name == "time.sleep":
            yield self._at(node, "io", "time.sleep() holds the worker: await asyncio.sleep()")
        elif name in _REAL or name.startswith(_REAL_MODULES):
            yield self._at(node, "io", f"{name}() is real input or output: put it in a step")
        module, _, function = name.rpartition(".")
        if module == self._source.module and function not in self._seen | self._source.steps.keys():
            helper = self._source.functions.get(function)
            if helper is not None and function not in self._source.sagas:
                yield from self.findings(helper)

    def _forgotten(self, node: ast.AST, loaded: set[str]) -> Iterator[Finding]:
        """A call that is to be awaited, and is thrown away or never looked at again."""
        if isinstance(node, ast.Expr):
            kept = False
        elif isinstance(node, ast.Assign):
            kept = any(not isinstance(t, ast.Name) or t.id in loaded for t in node.targets)
        else:
            return
        if isinstance(node.value, ast.Call) and not kept:
            name = self._source.called(node.value.func)
            if name in self._awaited:
                told = f"{name.rpartition('.')[2]}() is not awaited, so it never happens"
                yield self._at(node, "await", told)

    def _before_pivots(self, function: Function) -> Iterator[Finding]:
        """In the order of the text: good enough for a warning."""
        calls = [
            (node, step)
            for node in sorted(_calls(function), key=lambda node: (node.lineno, node.col_offset))
            if (step := self._steps.get(self._source.called(node.func) or "")) is not None
        ]
        for number, (node, step) in enumerate(calls):
            pivot = next((after.name for _, after in calls[number + 1 :] if after.pivot), None)
            if pivot is not None and not (step.has_undo or step.read_only or step.pivot):
                told = (
                    f"{step.name} has no compensation and comes before the pivot {pivot}: if the"
                    " saga turns round there, it stands"
                )
                yield self._at(node, "pivot", told)

    def _at(self, node: ast.stmt | ast.expr, kind: Kind, message: str) -> Finding:
        return Finding(_shown(self._source.path), node.lineno, self._name, kind, message)


def _inside(function: Function) -> Iterator[ast.AST]:
    """Its body, without decorators and defaults."""
    for statement in function.body:
        yield from ast.walk(statement)


def _calls(function: Function) -> Iterator[ast.Call]:
    return (node for node in _inside(function) if isinstance(node, ast.Call))


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _sources(module: str) -> Iterator[Source]:
    for path, name in files(*_place(module)):
        try:
            yield read(path, name)
        except (SyntaxError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from error


def _place(module: str) -> tuple[Path, str]:
    """Where a module or package is; it is not imported."""
    given = Path(module)
    if module.endswith(".py") or os.sep in module:
        if given.exists():
            return given, given.stem
        raise InvalidInput(f"{module}: there is no such file")
    parts = module.partition(":")[0].split(".")  # as for --app, `module:attribute`
    for folder in (Path.cwd(), *map(Path, sys.path)):
        place = folder.joinpath(*parts)
        if place.with_suffix(".py").is_file():
            return place.with_suffix(".py"), ".".join(parts)
        if place.is_dir() and any(place.glob("*.py")):
            return place, ".".join(parts)
    raise InvalidInput(f"{module}: there is no such module here or on Python's path")
