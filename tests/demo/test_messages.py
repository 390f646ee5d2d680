from pathlib import Path

import pytest

from saga.operations.demo.messages import BadInputError, read


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_hundred_different_messages_are_bundled() -> None:
    texts = read(None)
    assert len(texts) == len(set(texts)) == 100
    assert any("Überweisung" in text for text in texts)


def test_jsonl(tmp_path: Path) -> None:
    rows = '{"text": "Hëllo", "id": 1}\n\n  {"text": "line\\u2028break"}\r\n'
    assert read(written(tmp_path / "in.jsonl", rows)) == ["Hëllo", "line\u2028break"]


def test_csv_with_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = '\ufeffcategory,text\ncard,"Two\nlines, and a comma"\r\nfee,One\n'
    assert read(written(tmp_path / "in.CSV", rows)) == ["Two\nlines, and a comma", "One"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": }', "line 2, column 10: Expecting value"),
        ("a.jsonl", '{"text": "x"}\n["x"]', "line 2: expected an object"),
        ("a.jsonl", '{"message": "x"}', "line 1: the column 'text' is missing"),
        ("a.jsonl", '{"text": 7}', "line 1, column 'text': expected text, found int"),
        ("a.jsonl", '{"text": "x"}\n{"text": " "}', "line 2, column 'text': it is empty"),
        ("a.jsonl", '{"text": "\\u0000"}', "line 1, column 'text': it holds a character"),
        ("a.jsonl", '{"text": "\\ud800"}', "line 1, column 'text': it holds a character"),
        ("a.jsonl", '{"text": "' + "x" * 200_000 + '"}', "longer than 100000 characters"),
        ("a.jsonl", "[" * 100_000, "line 1: too deeply nested"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xff"}', "line 2: this is not UTF-8"),
        ("a.jsonl", "", "there is no message in it"),
        ("a.csv", "message,id\nx,1\n", "line 1: no column is named 'text'; found message, id"),
        ("a.csv", "", "line 1: no column is named 'text'; found nothing"),
        ("a.csv", "id,text\n1,x\n2\n", "line 3: the column 'text' is missing"),
        ("a.csv", 'id,text\n1,"a\nb"\n2,\n', "line 4, column 'text': it is empty"),
        ("a.csv", 'id,text\n1,"x"y\n', "line 2: "),
        ("a.csv", "text\n", "there is no message in it"),
    ],
)
def test_bad_input_is_named_by_line_and_column(
    tmp_path: Path, name: str, content: str | bytes, text: str
) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(BadInputError) as raised:
        read(path)
    assert str(raised.value).startswith(str(path))
    assert text in str(raised.value)
    assert len(str(raised.value)) < len(str(path)) + 200


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="No such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(BadInputError, match="directory"):
        read(tmp_path)
