"""The commands. Each imports what it needs: the supervisor no web framework, the web server no language model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import click

from application.ports.audit import AuditEventType
from entrypoints.cli.invocation import Misuse, exit_status, on_a_database, refused, with_settings
from entrypoints.cli.replies import replies
from entrypoints.cli.users import users
from entrypoints.logs import configure_logs
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from application.background_use_cases import BillingMaintenance

OR_A_SERVER = ", or the database cannot be reached"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_status("done", "failed, and stderr says why"),
)
def cli() -> None:
    """The chat backend: its processes, and the commands of an operator.

    Settings come from the environment, and for what it lacks from the file .env.
    """


# --- Processes ---


@cli.command(epilog=exit_status("it was asked to stop", "it cannot run, or a process of it cannot"))
@with_settings
def up(settings: Settings) -> int:
    """Run everything on this machine, until SIGINT or SIGTERM.

    That is web and worker, on embedded servers where no others are named, after the migrations.
    """
    from entrypoints.local_stack.up import up

    return up(settings)


@cli.command(epilog=exit_status("it was asked to stop", "it cannot listen, or the database is none it can use"))
@click.option(
    "--process",
    type=click.IntRange(min=1),
    metavar="N",
    help="Be the Nth of several on the port, and end with who started it. WEB_PROCESSES starts them so.",
)
@with_settings
def web(settings: Settings, process: int | None) -> int:
    """Run a web server, until SIGINT or SIGTERM."""
    _require_servers(settings)
    from entrypoints.web_processes import end_with_parent, number_of_processes, run_web_processes

    if process is not None:
        configure_logs(settings.log_level, process=process)
        end_with_parent()
    elif (number := number_of_processes(settings.web_processes)) > 1:
        return run_web_processes(settings, number)
    from entrypoints.web import serve

    return serve(settings, shared=settings.shared_port or process is not None)


@cli.command(epilog=exit_status("it was asked to stop", "the database is none it can use, or it may not have threads"))
@with_settings
def worker(settings: Settings) -> int:
    """Run a worker, until SIGINT or SIGTERM."""
    _require_servers(settings)
    from entrypoints.container.build import build_worker, check_servers
    from entrypoints.thread_limit import check_threads
    from entrypoints.worker.run import run_worker

    check_threads(settings.worker_concurrency, "WORKER_CONCURRENCY")
    check_servers(settings)
    return run_worker(build_worker(settings))


# --- The schema ---


@cli.command(epilog=exit_status("the schema is the newest", "a migration failed, or others held a lock for too long"))
@click.option(
    "--patience",
    type=click.IntRange(min=0, max=86_400),
    metavar="SECONDS",
    default=180,
    show_default=True,
    help="How long to try again while other transactions hold a lock that is needed.",
)
@with_settings
def migrate(settings: Settings, *, patience: int) -> int:
    """Bring the database to the newest schema, while the service runs."""
    database_url = _database_of_migrations(settings)
    from entrypoints.container.build import upgrade

    upgrade(database_url, timedelta(seconds=patience))
    return 0


@cli.command(epilog=exit_status("the file is written", "the database is not at the newest schema"))
@click.argument("message", help='What it does: "add x to y".')
@with_settings
def migration(settings: Settings, message: str) -> int:
    """Write a migration from what the tables have become."""
    database_url = _database_of_migrations(settings)
    from entrypoints.container.build import new_migration

    new_migration(database_url, message)
    return 0


@cli.command(epilog=exit_status("printed", "it cannot be made"))
@with_settings
def openapi(settings: Settings) -> int:
    """Print the OpenAPI document. Needs no server."""
    import orjson

    from entrypoints.api.app import create_app, openapi_document
    from entrypoints.api.http_options import HttpOptions
    from entrypoints.container.build import build_web

    # Nothing connects before the first request.
    nowhere = replace(settings, database_url="postgresql://nowhere/none", redis_url="redis://nowhere")
    document = openapi_document(create_app(build_web(nowhere).use_cases, HttpOptions(public_url=settings.public_url)))
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return 0


# --- An operator's questions ---


@cli.command(epilog=exit_status("printed, even if nothing", "what --phone names is no mobile number"))
@click.option("--user", type=click.UUID, metavar="ID", help="Events of the user with this id.")
@click.option("--phone", metavar="NUMBER", help="Events of this mobile number, with or without an account.")
@click.option(
    "--what",
    type=click.Choice([one.value for one in AuditEventType]),
    metavar="EVENT",
    help=f"Events of this kind: {', '.join(AuditEventType)}.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1, clamp=True),
    metavar="N",
    default=100,
    show_default=True,
    help="At most so many events.",
)
@with_settings
def audit(settings: Settings, user: UUID | None, phone: str | None, what: str | None, limit: int) -> int:
    """Print what happened to accounts, newest first, as JSON lines."""
    if settings.database_url is None:
        raise Misuse("DATABASE_URL must be set: it says whose audit trail is meant.")
    from entrypoints.cli.audit import print_audit

    return print_audit(settings, user=user, phone=phone, what=AuditEventType(what) if what else None, limit=limit)


@cli.command(epilog=exit_status("all are compared", "the payment provider went down before", OR_A_SERVER))
@click.option(
    "--from-stripe", is_flag=True, help="First link the provider's customers to users who lost theirs: after a restore."
)
@with_settings
def reconcile(settings: Settings, *, from_stripe: bool) -> int:
    """Compare all customers with the payment provider, and correct."""
    with _billing(settings) as billing:
        from entrypoints.cli.billing import reconcile

        return reconcile(billing, from_stripe=from_stripe)


@cli.command(
    "stripe", epilog=exit_status("the key is of our account, or may not say", "it is of another one", OR_A_SERVER)
)
@click.option("--accept", is_flag=True, help="Take the account of the key as ours: its customers alone are known then.")
@with_settings
def stripe_account(settings: Settings, *, accept: bool) -> int:
    """Print of which Stripe account the key is, and which is ours."""
    with _billing(settings) as billing:
        from entrypoints.cli.billing import stripe_account

        return stripe_account(billing, accept=accept)


@cli.command(epilog=exit_status("nothing is owed", "a refund is owed", OR_A_SERVER))
@with_settings
def refunds(settings: Settings) -> int:
    """Print the refunds that are owed and were not made."""
    with _billing(settings) as billing:
        from entrypoints.cli.billing import refunds

        return refunds(billing)


@cli.command(epilog=exit_status("the event has taken effect", "it is unknown, or the provider is down", OR_A_SERVER))
@click.argument("event_id", help="The provider's id of the event: evt_…")
@with_settings
def replay(settings: Settings, event_id: str) -> int:
    """Have a stored payment event take effect once more."""
    with _billing(settings) as billing:
        from entrypoints.cli.billing import replay

        return replay(billing, event_id)


@cli.command(epilog=exit_status("printed", "there is no such user", OR_A_SERVER))
@click.argument("user", help="Mobile number (+911234567890) or id.")
@click.option("--days", type=int, metavar="N", default=7, show_default=True, help="How many days to look back.")
@with_settings
def explain(settings: Settings, user: str, days: int) -> int:
    """Tell why a user was refused, charged or refunded, or is Basic."""
    with _billing(settings) as billing:
        from entrypoints.cli.billing import explain

        return explain(billing, user, days=days)


@cli.command(epilog=exit_status("shown", "it cannot be read"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--watch",
    type=click.IntRange(min=1, max=3600),
    metavar="SECONDS",
    help="Show it again and again, until SIGINT; also while the database is down.",
)
@with_settings
def queue(settings: Settings, *, as_json: bool, watch: int | None) -> int:
    """Show what waits in the queue of replies, and what ended.

    Also whether a worker is present. What ended is counted over the last minute.
    """
    from entrypoints.cli.queue import show_queue

    return show_queue(on_a_database(settings), as_json=as_json, watch=watch)


@cli.command(epilog=exit_status("printed", "failed"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_settings
def config(settings: Settings, *, as_json: bool) -> int:
    """Print the settings that hold; secrets are hidden."""
    from entrypoints.cli.config import print_config

    return print_config(settings, as_json=as_json)


@cli.command(epilog="Exit status: 0 nothing must be done; 1 something must; 2 the arguments cannot be used.")
@click.option("--no-model", is_flag=True, help="Do not ask the language model's provider.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(*, no_model: bool, as_json: bool) -> None:
    """Look whether all is as the service needs it.

    Settings, database, Redis, payment provider and model are looked at; each finding says what to do. What hangs is
    left behind after 15 seconds.
    """
    from entrypoints.cli.doctor import examine

    sys.exit(examine(as_json=as_json, ask_model=not no_model))


@cli.command(epilog=exit_status("printed, also when the database cannot be asked", "failed"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_settings
def version(settings: Settings, *, as_json: bool) -> int:
    """Print the versions of the release, the schema and Python."""
    from entrypoints.cli.version import print_version

    return print_version(settings, as_json=as_json)


cli.add_command(users)
cli.add_command(replies)


def _require_servers(settings: Settings) -> None:
    if settings.database_url is None or settings.redis_url is None:
        raise Misuse("DATABASE_URL and REDIS_URL (or REDIS_HOST) must be set; `make run` brings its own.")


def _database_of_migrations(settings: Settings) -> str:
    if settings.database_url is None:
        raise Misuse("DATABASE_URL must be set; `make run` migrates its own database.")
    if settings.sessions_are_shared and settings.database_direct_url is None:
        raise Misuse("DATABASE_DIRECT_URL must be set: a migration cannot go through a pooler that shares sessions.")
    return settings.database_direct_url or settings.database_url


@contextmanager
def _billing(settings: Settings) -> "Iterator[BillingMaintenance]":
    """The use cases of billing on the named database, or on that of a running `make run`."""
    from domain.errors import DependencyDown
    from entrypoints.container.build import build_operator_commands

    operator = build_operator_commands(on_a_database(settings))
    try:
        yield operator.billing
    except DependencyDown as down:
        raise refused(down) from down
    finally:
        operator.close()
