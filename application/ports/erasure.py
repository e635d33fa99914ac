"""Erasing a user."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.replies import ReplyId


class Erased(NamedTuple):
    """``rows``: how many by table. ``replies``: the erased ones that may still have a stream."""

    rows: Mapping[str, int]
    replies: Sequence[ReplyId]


class Erasure(Protocol):
    """Erases a user from every table."""

    def erase(self, user_id: UserId, *, phone_digest: str, older_digests: Collection[str] = ()) -> Erased:
        """Audit events of the user or of the number stay, stripped of what identifies the user.

        ``older_digests``: of the number, by keys that were replaced. Today's use of prompts stays for today under
        ``phone_digest``: see ``Usage.restore``.
        """
