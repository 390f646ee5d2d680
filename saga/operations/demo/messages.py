"""Reading the demo's input: one customer's message per row, from JSONL or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import cast

LONGEST_TEXT = 100_000


class BadInputError(Exception):
    """The input file cannot be used; the text names the file, the line and the column."""


def read(path: Path | None) -> list[str]:
    """The messages in `path`, or the hundred that come with the package.

    `.csv` is read as CSV with a header, everything else as JSONL. Each row needs `text`; other
    columns are ignored.
    """
    if path is None:
        bundled = files("saga.operations.demo").joinpath("messages.jsonl").read_text("utf-8")
        return list(_jsonl(bundled, "messages.jsonl"))
    content = _content(path)
    rows = _csv if path.suffix.lower() == ".csv" else _jsonl
    texts = list(rows(content, str(path)))
    if not texts:
        raise BadInputError(f"{path}: there is no message in it")
    return texts


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInputError(f"{path}, line {line}: this is not UTF-8") from error
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror or error}") from error


def _jsonl(content: str, name: str) -> Iterator[str]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row: object = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInputError(f"{where}, column {error.colno}: {error.msg}") from error
        except RecursionError as error:
            raise BadInputError(f"{where}: too deeply nested") from error
        if not isinstance(row, dict):
            raise BadInputError(f'{where}: expected an object such as {{"text": "…"}}')
        yield _text(cast("dict[str, object]", row), where)


def _csv(content: str, name: str) -> Iterator[str]:
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    first = 1
    try:
        if "text" not in (reader.fieldnames or ()):
            found = ", ".join(reader.fieldnames or ()) or "nothing"
            raise BadInputError(f"{name}, line 1: no column is named 'text'; found {found}")
        first = reader.line_num + 1
        for row in reader:
            yield _text(row, f"{name}, line {first}")
            first = reader.line_num + 1
    except csv.Error as error:
        raise BadInputError(f"{name}, line {first}: {error}") from error


def _text(row: Mapping[str, object], where: str) -> str:
    text = row.get("text")
    if text is None:
        raise BadInputError(f"{where}: the column 'text' is missing")
    if not isinstance(text, str):
        raise BadInputError(f"{where}, column 'text': expected text, found {type(text).__name__}")
    if not text.strip():
        raise BadInputError(f"{where}, column 'text': it is empty")
    if len(text) > LONGEST_TEXT:
        raise BadInputError(f"{where}, column 'text': longer than {LONGEST_TEXT} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInputError(f"{where}, column 'text': it holds a character that is no text")
    return text
