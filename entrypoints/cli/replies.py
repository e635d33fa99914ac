"""``replies``: an operator looks after single replies."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
import orjson

from application.ports.reply_files import ReplyLine
from domain.feedback import Rating
from domain.replies import FailureReason, ReplyId
from entrypoints.cli.invocation import exit_status, with_settings
from entrypoints.cli.moments import DATE_OR_MOMENT, shown_in_utc
from entrypoints.cli.users import NO_SUCH_USER, administering
from entrypoints.settings import Settings

OR_DOWN = ", or a server is down"

reply_id = click.argument("reply_id", type=click.UUID, metavar="ID", help="Id of the reply.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group(epilog=exit_status("done", "there is no such reply", OR_DOWN))
def replies() -> None:
    """List failed or rated replies; show, retry or give up one."""


@replies.command("list", epilog=exit_status("listed, even if none", "there is no such user", OR_DOWN))
@click.option(
    "--reason",
    type=click.Choice([one.value for one in FailureReason]),
    metavar="REASON",
    help=f"Only those that failed for this reason: {', '.join(FailureReason)}.",
)
@click.option(
    "--feedback",
    type=click.Choice([one.value for one in Rating]),
    help="In place of those that failed: those that their users rated so, the last rated first.",
)
@click.option(
    "--since",
    type=DATE_OR_MOMENT,
    metavar="DATE",
    help="Only those that failed, or were rated, since then, in UTC. By default: since 24 hours ago.",
)
@click.option("--user", metavar="USER", help="Only those of this user: a mobile number or an id.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), metavar="N", default=100, show_default=True, help="At most so many."
)
@json_option
@with_settings
def list_failed(
    settings: Settings,
    *,
    reason: str | None,
    feedback: str | None,
    since: datetime | None,
    user: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """List replies that failed, newest first; or those that were rated."""
    if reason is not None and feedback is not None:
        raise click.UsageError("--reason is of replies that failed, and --feedback of others: give one of them.")
    moment = since.replace(tzinfo=UTC) if since else datetime.now(UTC) - timedelta(days=1)
    with administering(settings) as administration:
        user_id = administration.find_user(user) if user is not None else None
        if user is not None and user_id is None:
            raise click.ClickException(NO_SUCH_USER)
        files, failure = administration.reply_files, FailureReason(reason) if reason else None
        found = (
            files.rated(Rating(feedback), since=moment, user_id=user_id, limit=limit)
            if feedback
            else files.failed(since=moment, reason=failure, user_id=user_id, limit=limit)
        )
    _print_lines(found, SHOWN_OF_RATED if feedback else SHOWN_OF_FAILED, as_json=as_json)
    return 0


@replies.command(epilog=exit_status("shown", "there is no such reply", OR_DOWN))
@reply_id
@click.option("--reveal", is_flag=True, help="Show what was asked and answered, too.")
@json_option
@with_settings
def show(settings: Settings, reply_id: UUID, *, reveal: bool, as_json: bool) -> int:
    """Print a reply in any state. The texts are left out, unless they are to be revealed."""
    with administering(settings) as administration:
        file = administration.show_reply(ReplyId(reply_id))
    members = _members(file.line)
    members |= {"promptCharacters": len(file.prompt), "answerCharacters": len(file.answer or "")}
    members |= {"commentCharacters": len(file.comment or "")}
    if reveal:
        members |= {"prompt": file.prompt, "answer": file.answer, "comment": file.comment}
    width = max(map(len, members))
    text = "\n".join(f"{name:<{width}}  {'-' if value is None else value}" for name, value in members.items())
    click.echo(_json(members) if as_json else text)
    return 0


@replies.command(epilog=exit_status("another reply is queued", "it has not failed, or its user may not ask", OR_DOWN))
@reply_id
@json_option
@with_settings
def retry(settings: Settings, reply_id: UUID, *, as_json: bool) -> int:
    """Have a message answered whose reply failed.

    By the same rules as when its user does it: it costs a prompt of today, which the failed one gave back.
    """
    with administering(settings) as administration:
        sent = administration.retry_reply(ReplyId(reply_id))
    click.echo(_json({"replyId": sent.reply_id}) if as_json else f"Reply {sent.reply_id} is queued.")
    return 0


@replies.command("give-up", epilog=exit_status("it has failed", "it is finished, or there is no such reply", OR_DOWN))
@reply_id
@json_option
@with_settings
def give_up(settings: Settings, reply_id: UUID, *, as_json: bool) -> int:
    """End an unfinished reply as failed, and refund it."""
    with administering(settings) as administration:
        administration.give_up_reply(ReplyId(reply_id))
    members = {"replyId": reply_id, "state": "failed", "refunded": True}
    click.echo(_json(members) if as_json else f"Reply {reply_id} has failed, and its prompt is given back.")
    return 0


def _print_lines(lines: Sequence[ReplyLine], shown: Sequence[str], *, as_json: bool) -> None:
    for line in lines:
        members = _members(line)
        click.echo(_json(members) if as_json else "  ".join(str(members[name]) for name in shown))
    if not lines and not as_json:
        click.echo("None.")


SHOWN_OF_FAILED = ("replyId", "finishedAt", "reason", "attempts", "userId")
SHOWN_OF_RATED = ("replyId", "ratedAt", "rating", "ratingReasons", "userId")


def _members(line: ReplyLine) -> dict[str, Any]:
    return {
        "replyId": line.reply_id,
        "messageId": line.message_id,
        "chatroomId": line.chatroom_id,
        "userId": line.user_id,
        "state": line.state.value,
        "reason": line.failure.value if line.failure else None,
        "attempts": line.attempts,
        "createdAt": _moment(line.created_at),
        "finishedAt": _moment(line.finished_at),
        "refundedAt": _moment(line.refunded_at),
        "model": line.model,
        "rating": line.rating.value if line.rating else None,
        "ratingReasons": ", ".join(line.reasons) if line.reasons else None,
        "ratedAt": _moment(line.rated_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return shown_in_utc(moment) if moment else None


def _json(members: dict[str, Any]) -> str:
    return orjson.dumps(members).decode()
