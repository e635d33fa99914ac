"""What every command shares: its settings, its database, and how it ends."""

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any, Concatenate, NoReturn, ParamSpec

import click

from application.operations.startup import CannotStart
from domain.errors import DependencyDown, DomainError
from entrypoints.logs import configure_logs
from entrypoints.settings import Settings, SettingsError, load_settings

P = ParamSpec("P")


class Misuse(click.ClickException):
    """The command cannot run with these settings. Ends the process with status 2, as click does for wrong arguments."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


def exit_status(done: str, failed: str, or_else: str = "") -> str:
    """The last paragraph of a command's help."""
    return f"Exit status: 0 {done}; 1 {failed}; 2 the arguments or the settings cannot be used{or_else}."


def with_settings(command: Callable[Concatenate[Settings, P], int]) -> Callable[P, NoReturn]:
    """Calls ``command`` with the settings of this process, and ends the process with the status it returns."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        try:
            settings = load_settings()
        except SettingsError as error:
            raise Misuse(f"The settings cannot be used:\n{error}") from error
        configure_logs(settings.log_level)
        try:
            status = command(settings, *args, **kwargs)
        except CannotStart as reason:
            raise click.ClickException(str(reason)) from None
        sys.exit(status)

    return run


def on_a_database(settings: Settings) -> Settings:
    """The settings with a database: the named one, or that of a running ``make run``. Raises Misuse without either."""
    from entrypoints.local_stack.running import running_database_url

    database_url = settings.database_url or running_database_url(settings.data_dir)
    if database_url is None:
        raise Misuse("DATABASE_URL must be set, or `make run` must be running.")
    return replace(settings, database_url=database_url)


def refused(error: DomainError) -> click.ClickException:
    """What an operator is told of a use case's refusal: status 1, or 2 when a server is down."""
    if isinstance(error, DependencyDown):
        return Misuse(f"Not available: {error.dependency}.")
    facts = ", ".join(f"{name}: {value}" for name, value in error.facts().items())
    return click.ClickException(f"{error.title}{f' ({facts})' if facts else ''}.")
