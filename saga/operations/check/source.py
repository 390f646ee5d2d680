"""A file of users' code as text: what its names mean, and which steps and sagas it defines."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class StepText:
    """What a step's declaration says."""

    name: str
    pivot: bool = False
    read_only: bool = False
    has_undo: bool = False


@dataclass(slots=True)
class Source:
    """`names`: what a name of this file stands for, as `datetime.datetime`; of what is defined
    here, with the module in front.
    """

    path: Path
    module: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict[str, str])
    steps: dict[str, StepText] = field(default_factory=dict[str, StepText])
    sagas: dict[str, Function] = field(default_factory=dict[str, Function])
    functions: dict[str, Function] = field(default_factory=dict[str, Function])

    def called(self, node: ast.expr) -> str | None:
        """What an expression names, in full; None for what is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self.names.get(node.id, node.id), *reversed(parts)])

    def is_ignored(self, line: int, lines: list[str]) -> bool:
        """Whether the line says `# saga: ignore`."""
        return line <= len(lines) and "# saga: ignore" in lines[line - 1]


def read(path: Path, module: str) -> Source:
    """Reads a file. Raises SyntaxError."""
    source = Source(path, module, ast.parse(path.read_text(), str(path)))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                source.names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            home = _home(node, module, is_package=path.name == "__init__.py")
            for alias in node.names:
                source.names[alias.asname or alias.name] = f"{home}.{alias.name}"
    for node in source.tree.body:
        _define(source, node)
    return source


def _home(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """The module that an import is from, also a relative one."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - is_package
    base = parts[: len(parts) - up] if up else parts
    return ".".join([*base, *([node.module] if node.module else [])])


def _define(source: Source, node: ast.stmt) -> None:
    if isinstance(node, Function):
        source.names[node.name] = f"{source.module}.{node.name}"
        source.functions[node.name] = node
        for decorator in node.decorator_list:
            _decorate(source, node, decorator)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        made = node.value
        if source.called(made.func) == "saga.step" and made.args:  # step(existing_task)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    source.names[target.id] = f"{source.module}.{target.id}"
                    source.steps[target.id] = _step(target.id, made)


def _decorate(source: Source, node: Function, decorator: ast.expr) -> None:
    call = decorator if isinstance(decorator, ast.Call) else None
    named = source.called(call.func if call else decorator)
    if named == "saga.step":
        source.steps[node.name] = _step(node.name, call)
    elif named == "saga.saga":
        source.sagas[node.name] = node
    elif named is not None and named.endswith(".compensation"):
        step = source.steps.get(named.removesuffix(".compensation").rpartition(".")[2])
        if step is not None:
            step.has_undo = True


def _step(name: str, call: ast.Call | None) -> StepText:
    options = {word.arg: word.value for word in call.keywords} if call else {}

    def says(option: str) -> bool:
        value = options.get(option)
        return isinstance(value, ast.Constant) and value.value is True

    return StepText(name, says("pivot"), says("read_only"), "compensation" in options)


def files(path: Path, module: str) -> Iterator[tuple[Path, str]]:
    """A module's file, or all of a package with their names."""
    if path.is_file():
        yield path, module
        return
    for file in sorted(path.rglob("*.py")):
        parts = file.relative_to(path).with_suffix("").parts
        inner = [part for part in parts if part != "__init__"]
        yield file, ".".join([module, *inner])
