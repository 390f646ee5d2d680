"""The command line, `saga`: one command or one family of commands a file."""

from saga.operations.cli.group import SagaGroup

main = SagaGroup(
    name="saga",
    help="Durable sagas on Celery, Redis and Postgres.",
    epilog=(
        "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not over when --wait ended. "
        "Every command takes --json, and the options above may stand before or after it."
    ),
    commands_of={
        "dev": "saga.operations.cli.dev:command",
        "demo": "saga.operations.cli.demo:command",
        "migrate": "saga.operations.cli.migrate:command",
        "grants": "saga.operations.cli.grants:command",
        "check": "saga.operations.cli.check:command",
        "worker": "saga.operations.cli.worker:command",
        "serve": "saga.operations.cli.serve:command",
        "token": "saga.operations.cli.token:command",
        "start": "saga.operations.cli.start:command",
        "list": "saga.operations.cli.listing:command",
        "stats": "saga.operations.cli.stats:command",
        "show": "saga.operations.cli.show:command",
        "why": "saga.operations.cli.why:command",
        "history": "saga.operations.cli.history:command",
        "effects": "saga.operations.cli.effects:command",
        "signal": "saga.operations.cli.signals:command",
        "approvals": "saga.operations.cli.approvals:list_",
        "approve": "saga.operations.cli.approvals:approve",
        "reject": "saga.operations.cli.approvals:reject",
        "cancel": "saga.operations.cli.cancel:command",
        "compensate": "saga.operations.cli.compensate:command",
        "retry": "saga.operations.cli.retry:command",
        "blocked": "saga.operations.cli.blocked:command",
        "resolve": "saga.operations.cli.resolve:command",
        "audit": "saga.operations.cli.audit:command",
        "callbacks": "saga.operations.cli.callbacks:command",
        "prune": "saga.operations.cli.prune:command",
        "workers": "saga.operations.cli.workers:command",
        "backlog": "saga.operations.cli.backlog:command",
        "metrics": "saga.operations.cli.metrics:command",
        "health": "saga.operations.cli.health:command",
    },
)

__all__ = ["main"]
