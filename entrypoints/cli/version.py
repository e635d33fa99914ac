"""``version``: what runs here."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click
import orjson

from entrypoints.cli.invocation import Misuse, on_a_database
from entrypoints.settings import Settings

CHECKOUT = Path(__file__).parents[2]


def print_version(settings: Settings, *, as_json: bool) -> int:
    """Print what is known; the exit status."""
    from entrypoints.container.build import release, schema_needed

    members = {
        "version": release(),
        "commit": _commit(),
        "schema": _schema(settings),
        "schemaNeeded": schema_needed(),
        "python": platform.python_version(),
    }
    if as_json:
        click.echo(orjson.dumps(members).decode())
    else:
        width = max(map(len, members))
        click.echo("\n".join(f"{name:<{width}}  {value or 'unknown'}" for name, value in members.items()))
    return 0


def _commit() -> str | None:
    """What pip was told to install (PEP 610), or what is checked out."""
    if installed := _installed_commit():
        return installed
    if not (CHECKOUT / ".git").exists():
        return None
    try:
        found = subprocess.run(  # noqa: S603 - nothing of it comes from outside
            ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"],  # noqa: S607 - wherever it is installed
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _installed_commit() -> str | None:
    try:
        origin: dict[str, Any] = orjson.loads(distribution("gemini-chat-backend").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return None
    commit: str | None = origin.get("vcs_info", {}).get("commit_id")
    return commit


def _schema(settings: Settings) -> str | None:
    """The version of the database's schema; None where it cannot be asked."""
    from entrypoints.container.build import schema_of

    try:
        return schema_of(on_a_database(settings))
    except Misuse:
        return None
