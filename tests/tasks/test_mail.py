import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from saga import Permanent, Unknown
from saga.operations.demo.services import Services
from saga.tasks import mail
from saga.tasks.failures import CallFailed

TO = "ada@example.com"


def rows(directory: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(directory / "mail.db")) as ledger:
        return ledger.execute(statement).fetchall()


def test_a_mail_sent_twice_is_kept_once(services: Services, tmp_path: Path) -> None:
    first = mail.send(TO, "Grüße", "Hëllo", key="k:1")
    again = mail.send(TO, "Grüße", "Hëllo", key="k:1")
    assert first == again == mail.SentMail(message_id="<k.1@saga.invalid>", to=TO)
    assert rows(tmp_path, "SELECT subject, recipients FROM mail") == [("Grüße", TO)]
    assert rows(tmp_path, "SELECT repeated FROM request ORDER BY number") == [(0,), (1,)]
    assert rows(tmp_path, "SELECT count(*) FROM effect") == [(1,)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 later", CallFailed), ("554 no", Permanent), ("421 going down", CallFailed)],
)
def test_the_server_refuses(services: Services, answer: str, error: type[Exception]) -> None:
    services.mailbox.refuse(answer)
    with pytest.raises(error, match=answer[:3]):
        mail.send(TO, "Subject", "Text", key="k")
    mail.send(TO, "Subject", "Text", key="k")


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_SMTP_URL", "smtp://127.0.0.1:1")
    with pytest.raises(CallFailed, match="ConnectionRefusedError"):
        mail.send(TO, "Subject", "Text", key="k")


def test_the_connection_breaks_while_sending(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, *args: object) -> tuple[int, bytes]:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("smtplib.SMTP.data", broken)
    with pytest.raises(Unknown, match="ConnectionResetError"):
        mail.send(TO, "Subject", "Text", key="k")


def test_headers_cannot_be_smuggled_in(services: Services, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be sent"):
        mail.send(TO, "Subject\r\nBcc: all@example.com", "Text", key="k")
    assert rows(tmp_path, "SELECT count(*) FROM request") == [(0,)]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGA_SMTP_URL", raising=False)
    with pytest.raises(Permanent, match="SAGA_SMTP_URL"):
        mail.send(TO, "Subject", "Text", key="k")
