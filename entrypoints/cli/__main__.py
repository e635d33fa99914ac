"""The commands of an operator.

up         everything: embedded servers where none are named, migrations, web and worker
web        the web server
worker     a worker
migrate    bring the database to the newest schema
migration  write a migration from what the tables have become
openapi    print the OpenAPI document
audit      print what happened to accounts, one JSON object a line
reconcile  compare every customer with the payment provider, and say what was healed
replay     have a stored payment event take effect once more
explain    tell why a user was refused, charged or refunded, or is Basic
"""

import argparse
import sys
from dataclasses import replace

import orjson

from entrypoints.cli.audit import add_audit_arguments, print_audit
from entrypoints.logs import configure_logs
from entrypoints.settings import Settings, SettingsError, load_settings

EXIT_MISUSE = 2

# Modules are imported by the command that needs them: the supervisor needs no web framework, nor the web server a
# language model.


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m entrypoints.cli",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("up", "web", "worker", "migrate", "openapi", "reconcile"):
        commands.add_parser(name)
    commands.add_parser("migration").add_argument("message", help='what it does: "add x to y"')
    add_audit_arguments(commands.add_parser("audit"))
    commands.add_parser("replay").add_argument("event_id", help="evt_…")
    explain = commands.add_parser("explain")
    explain.add_argument("user", help="mobile number (+911234567890) or id")
    explain.add_argument("--days", type=int, default=7, help="how far to look back")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        return _misuse(f"The settings cannot be used:\n{error}")
    configure_logs(settings.log_level)
    return _run(options, settings)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    match options.command:
        case "up":
            from entrypoints.local_stack.up import up

            return up(settings)
        case "openapi":
            return _print_openapi(settings)
        case "migrate" | "migration":
            return _migrate(options, settings)
        case "audit":
            return print_audit(options, settings)
        case "reconcile" | "replay" | "explain":
            return _billing(options, settings)
        case _:
            return _serve(options, settings)


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is None or settings.redis_url is None:
        return _misuse("DATABASE_URL and REDIS_URL (or REDIS_HOST) must be set; `make run` brings its own.")
    if options.command == "web":
        from entrypoints.web import serve

        return serve(settings)
    from entrypoints.container.build import build_worker
    from entrypoints.worker.run import run_worker

    return run_worker(build_worker(settings))


def _migrate(options: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is None:
        return _misuse("DATABASE_URL must be set; `make run` migrates its own database.")
    from entrypoints.container.build import new_migration, upgrade

    if options.command == "migration":
        new_migration(settings.database_url, options.message)
    else:
        upgrade(settings.database_url)
    return 0


def _billing(options: argparse.Namespace, settings: Settings) -> int:
    from entrypoints.local_stack.running import running_database_url

    database_url = settings.database_url or running_database_url(settings.data_dir)
    if database_url is None:
        return _misuse("DATABASE_URL must be set, or `make run` must be running.")
    from domain.errors import DependencyDown
    from entrypoints.cli import billing
    from entrypoints.container.build import build_operator_commands

    operator = build_operator_commands(replace(settings, database_url=database_url))
    try:
        match options.command:
            case "reconcile":
                return billing.reconcile(operator.billing)
            case "replay":
                return billing.replay(operator.billing, options.event_id)
        return billing.explain(operator.billing, options.user, days=options.days)
    except DependencyDown as down:
        return _misuse(f"Not available: {down.dependency}.")
    finally:
        operator.close()


def _print_openapi(settings: Settings) -> int:
    from entrypoints.api.app import create_app, openapi_document
    from entrypoints.container.build import build_web

    # The document needs no servers: nothing connects before the first request.
    nowhere = replace(settings, database_url="postgresql://nowhere/none", redis_url="redis://nowhere")
    document = openapi_document(create_app(build_web(nowhere).use_cases))
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return 0


def _misuse(message: str) -> int:
    print(message, file=sys.stderr)
    return EXIT_MISUSE


if __name__ == "__main__":
    sys.exit(main())
