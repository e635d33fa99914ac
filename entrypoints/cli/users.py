"""``users``: an operator looks after accounts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import orjson

from domain.accounts import User, UserId
from domain.errors import DomainError
from entrypoints.cli.invocation import exit_status, on_a_database, refused, with_settings
from entrypoints.cli.moments import DATE_OR_MOMENT, shown_in_utc
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from application.background_use_cases import Administration
    from application.operations.users import UserFile

# What is published there is only quicker: workers and readers look into the database by themselves.
NO_REDIS = "unix:///nowhere"
NO_SUCH_USER = "There is no such user."

CHANGED = exit_status("done, and recorded in the audit trail", "there is no such user", ", or a server is down")
SHOWN = exit_status("shown", "there is no such user", ", or the database is down")

Click = Callable[[Callable[..., Any]], Callable[..., Any]]

who = click.argument("who", metavar="USER", help="Mobile number or id.")
reason = click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept in the audit trail.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group(epilog=SHOWN)
def users() -> None:
    """Find users, lock and unlock them, end their sessions, grant Pro.

    A USER is a mobile number, as people write it, or an id.
    """


@users.command(epilog=SHOWN)
@who
@json_option
@with_settings
def find(settings: Settings, who: str, *, as_json: bool) -> int:
    """Print the id of a user and the state of the account."""
    with found(settings, who) as (administration, user_id):
        file = _file(administration, user_id)
    member = {"userId": file.user.id, "plan": file.plan_status.plan.value, "lockedAt": file.user.locked_at}
    state = f"locked since {_moment(file.user.locked_at)}" if file.user.locked_at else "not locked"
    click.echo(_json(member) if as_json else f"{file.user.id}  {file.plan_status.plan.value}  {state}")
    return 0


@users.command(epilog=SHOWN)
@who
@click.option("--reveal", is_flag=True, help="Show number, name and email, too.")
@json_option
@with_settings
def show(settings: Settings, who: str, *, reveal: bool, as_json: bool) -> int:
    """Print an account, its plan, sessions and latest events.

    The number is masked, and name and email are left out, unless they are to be revealed.
    """
    with found(settings, who) as (administration, user_id):
        file = _file(administration, user_id)
    members = _members(file, reveal=reveal)
    click.echo(_json(members) if as_json else _as_text(members))
    return 0


@users.command(epilog=CHANGED)
@who
@reason
@with_settings
def lock(settings: Settings, who: str, reason: str) -> int:
    """Lock an account: its sessions end, and none begins.

    What it has stays, a subscription too. Replies that wait are still written.
    """
    with found(settings, who) as (administration, user_id):
        return _done(administration.lock_user(user_id, reason=reason), f"{user_id} is locked.")


@users.command(epilog=CHANGED)
@who
@reason
@with_settings
def unlock(settings: Settings, who: str, reason: str) -> int:
    """Unlock an account: its user may log in again."""
    with found(settings, who) as (administration, user_id):
        return _done(administration.unlock_user(user_id, reason=reason), f"{user_id} is not locked.")


@users.command("end-sessions", epilog=CHANGED)
@who
@reason
@with_settings
def end_sessions(settings: Settings, who: str, reason: str) -> int:
    """End all sessions of a user, who logs in again."""
    with found(settings, who) as (administration, user_id):
        return _done(administration.end_sessions(user_id, reason=reason), f"{user_id} has no session.")


@users.command("grant-pro", epilog=CHANGED)
@who
@click.option(
    "--until",
    type=DATE_OR_MOMENT,
    metavar="DATE",
    help="The moment at which it ends, in UTC: 2027-01-31 or 2027-01-31T12:00:00.",
)
@click.option("--days", type=click.IntRange(1, 36_500), metavar="N", help="Or: how many days it lasts from now on.")
@reason
@with_settings
def grant_pro(settings: Settings, who: str, until: datetime | None, days: int | None, reason: str) -> int:
    """Give a user the Pro plan for a time, without a payment.

    It ends by itself, and replaces an earlier grant. A subscription is not touched, and none is begun.
    """
    if (until is None) == (days is None):
        raise click.UsageError("Give either --until or --days.")
    ends = until.replace(tzinfo=UTC) if until else datetime.now(UTC) + timedelta(days=days or 0)
    with found(settings, who) as (administration, user_id):
        granted = administration.grant_pro(user_id, until=ends, reason=reason)
        return _done(granted, f"{user_id} is Pro until {_moment(ends)}.")


@users.command("withdraw-pro", epilog=CHANGED)
@who
@reason
@with_settings
def withdraw_pro(settings: Settings, who: str, reason: str) -> int:
    """End a grant of Pro now. A subscription goes on."""
    with found(settings, who) as (administration, user_id):
        return _done(administration.withdraw_pro(user_id, reason=reason), f"{user_id} has no grant of Pro.")


@contextmanager
def administering(settings: Settings) -> "Iterator[Administration]":
    """The use cases; what they refuse is told to the operator."""
    from entrypoints.container.build import build_administration

    settings = on_a_database(settings)
    try:
        with build_administration(replace(settings, redis_url=settings.redis_url or NO_REDIS)) as administration:
            yield administration
    except DomainError as error:
        raise refused(error) from error


@contextmanager
def found(settings: Settings, who: str) -> "Iterator[tuple[Administration, UserId]]":
    """The use cases, and the user whom the operator means."""
    with administering(settings) as administration:
        user_id = administration.find_user(who)
        if user_id is None:
            raise click.ClickException(NO_SUCH_USER)
        yield administration, user_id


def _file(administration: "Administration", user_id: UserId) -> "UserFile":
    file = administration.show_user(user_id)
    if file is None:  # erased since it was found
        raise click.ClickException(NO_SUCH_USER)
    return file


def _done(changed: bool, sentence: str) -> int:  # noqa: FBT001 - what the use case has returned
    if not changed:
        raise click.ClickException(NO_SUCH_USER)
    click.echo(sentence)
    return 0


def _members(file: "UserFile", *, reveal: bool) -> dict[str, Any]:
    user, status = file.user, file.plan_status
    return {
        "userId": user.id,
        **_identity(user, reveal=reveal),
        "createdAt": user.created_at,
        "verifiedAt": user.verified_at,
        "lockedAt": user.locked_at,
        "plan": status.plan.value,
        "proGrantedUntil": status.granted_until,
        "subscription": status.subscription.status.value if status.subscription else None,
        "usedToday": status.quota.used,
        "limitToday": status.quota.limit,
        "sessions": [
            {"id": one.id, "device": one.device, "method": one.method.value, "lastUsedAt": one.last_used_at}
            for one in file.sessions
        ],
        "events": [{"at": one.at, "what": one.what.value, "note": one.note} for one in file.events],
    }


def _identity(user: User, *, reveal: bool) -> dict[str, Any]:
    if not reveal:
        return {"mobileNumber": user.phone.masked}
    return {"mobileNumber": user.phone.e164, "name": user.name, "email": user.email}


def _as_text(members: dict[str, Any]) -> str:
    width = max(map(len, members))
    lines = [
        f"{name:<{width}}  {_moment(value) if isinstance(value, datetime) else '-' if value is None else value}"
        for name, value in members.items()
        if name not in {"sessions", "events"}
    ]
    sessions = [
        f"  {one['id']}  {one['method']}  last used {_moment(one['lastUsedAt'])}  {one['device'] or ''}".rstrip()
        for one in members["sessions"]
    ]
    events = [f"  {_moment(one['at'])}  {one['what']}  {one['note'] or ''}".rstrip() for one in members["events"]]
    return "\n".join([*lines, "sessions", *(sessions or ["  none"]), "events", *(events or ["  none"])])


def _moment(moment: datetime | None) -> str:
    return shown_in_utc(moment) if moment else ""


def _json(members: dict[str, Any]) -> str:
    return orjson.dumps(members, option=orjson.OPT_UTC_Z).decode()
