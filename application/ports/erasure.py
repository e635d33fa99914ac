"""Erasing a user."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.replies import ReplyId
from domain.retention import ROWS_PER_BATCH


class Erased(NamedTuple):
    """What one call of ``erase`` has done.

    ``rows``: how many by table. ``replies``: the erased ones that may still have a stream. ``left``: how many removed
    chatrooms still have messages, which ``Chatrooms.purge_removed`` deletes. ``finished``: the user is gone; otherwise
    there is more to erase.
    """

    rows: Mapping[str, int]
    replies: Sequence[ReplyId]
    left: int
    finished: bool


class Erasure(Protocol):
    """Erases a user from every table."""

    def erase(
        self,
        user_id: UserId,
        *,
        phone_digest: str,
        older_digests: Collection[str] = (),
        limit: int = ROWS_PER_BATCH,
        leave_messages: bool = False,
    ) -> Erased:
        """Erases at most ``limit`` rows of each table: call it, each time in a transaction of its own, until it is
        ``finished``. The user goes last.

        ``leave_messages``: chatrooms that are not empty after that are removed as they are.
        Audit events of the user or of the number stay, stripped of what identifies the user.
        ``older_digests``: of the number, by keys that were replaced. Today's use of prompts stays for today under
        ``phone_digest``: see ``Usage.restore``.
        """
