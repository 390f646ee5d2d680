"""What went wrong, in words that say what to do; no tracebacks."""

from dataclasses import dataclass
from uuid import UUID

import click

from saga.errors import SagaError, Unavailable, UnknownSaga
from saga.operations.cli.ends import NotOver
from saga.operations.cli.output import console, to_json
from saga.operations.cli.safe import safe, safe_lines
from saga.operations.cli.settings import Settings

FAILED = 1
NOT_OVER = 3
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown."""

    type: str
    message: str
    hint: str = ""
    code: int = FAILED
    saga_id: UUID | None = None  # of a saga that was set in motion all the same

    def show(self, *, as_json: bool) -> None:
        """On stdout as JSON, or on stderr for people."""
        if as_json:
            error = {"type": self.type, "message": self.message, "hint": self.hint or None}
            found = {} if self.saga_id is None else {"id": self.saga_id}
            click.echo(to_json({**found, "error": error}))
            return
        if self.saga_id is not None:
            click.echo(str(self.saga_id))
        screen = console(stderr=True)
        screen.print("Error: ", style="bold red", end="")
        screen.print("\n".join(safe_lines(self.message)), markup=False)
        if self.hint:
            screen.print(safe(self.hint), markup=False)


def explain(error: BaseException, settings: Settings) -> Failure:
    """The failure that an exception amounts to."""
    if isinstance(error, click.ClickException):
        message = error.format_message().replace(
            "\n\t", " "
        )  # click lists choices below each other
        return Failure("UsageError", message, _usage(error), error.exit_code)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Failure("Interrupted", "interrupted", code=INTERRUPTED)
    if isinstance(error, SagaError):
        return Failure(type(error).__name__, str(error), _hint(error, settings))
    if isinstance(error, NotOver):
        hint = f"It goes on all the same: see `saga show {error.id}`."
        return Failure("NotOver", str(error), hint, NOT_OVER, error.id)
    error = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's
    return _of_a_server(error, settings) or Failure(
        type(error).__name__,
        f"{type(error).__name__}: {error}",
        "This was not expected. --debug shows where it comes from.",
    )


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"See `{context.command_path} --help`." if context else ""


def _hint(error: SagaError, settings: Settings) -> str:
    if isinstance(error, Unavailable):
        cause = error.__cause__
        return _hint_of_postgres(settings, error, getattr(cause, "orig", None) or cause)
    if isinstance(error, UnknownSaga) and not error.known:
        return (
            "Workers announce their sagas: start one with `saga --app MODULE worker`, or name the "
            "module here with --app."
        )
    return ""


def _where(settings: Settings, message: str, cause: BaseException | None) -> str:
    """The database that did not answer, if the message does not name it, and what to do."""
    advice = "Is it running? `saga dev` starts one here."
    if "://" in message:
        return advice
    reason = next((line.strip() for line in str(cause or "").splitlines() if line.strip()), "")
    return f"{_shown(settings.database_url)} does not answer: {reason}. {advice}"


def _of_a_server(error: BaseException, settings: Settings) -> Failure | None:
    """Errors of the drivers that nobody has translated."""
    module = type(error).__module__.partition(".")[0]
    if module == "psycopg":
        return _of_postgres(error, settings)
    if module in ("redis", "kombu", "amqp") and type(error).__name__.endswith("Error"):
        url = _shown(settings.broker_url or "")
        return Failure("Unavailable", f"the broker {url} does not answer: {error}", _BROKER_ADVICE)
    return None


_BROKER_ADVICE = "Is it running? Check --broker-url or SAGA_BROKER_URL; `saga dev` starts one here."


def _of_postgres(error: BaseException, settings: Settings) -> Failure | None:
    from psycopg import Error

    from saga.storage.errors import explained

    ours = explained(error) if isinstance(error, Error) else None
    return ours and Failure(
        type(ours).__name__, str(ours), _hint_of_postgres(settings, ours, error)
    )


def _hint_of_postgres(settings: Settings, error: SagaError, cause: BaseException | None) -> str:
    from psycopg import Error

    from saga.storage.errors import is_away, turned_away

    if turned_away(cause):
        return f"Check {_shown(settings.database_url)}: --database-url or SAGA_DATABASE_URL."
    answered = isinstance(cause, Error) and not is_away(cause)
    return "" if answered else _where(settings, str(error), cause)


def _shown(url: str) -> str:
    from saga.storage.queries import shown_url

    return shown_url(url)
