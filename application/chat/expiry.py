"""Replies whose time is up are ended: by workers, and where there is none by those who meet them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UserId
from domain.errors import BacklogFull, DependencyDown, TooManyUnfinishedReplies
from domain.replies import Charge, EndedReply, ReplyId, ReplyPolicy

T = TypeVar("T")


def refund_all(work: UnitOfWork, charges: Iterable[Charge]) -> None:
    """Refunds each user's prompts of a day at once, and users always in the same order, so that no two deadlock."""
    prompts = Counter(charges)
    for charge in sorted(prompts, key=lambda one: (one.user_id, one.day)):
        work.usage.refund(charge, prompts=prompts[charge])


@dataclass(frozen=True, slots=True)
class FailExpiredReplies:
    """Fails replies past their deadline or out of attempts whose lease has expired, and refunds them."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    policy: ReplyPolicy
    batch: int = 100

    def __call__(self, among: Collection[ReplyId] | None = None) -> Sequence[EndedReply]:
        """Returns those that have ended, at most ``batch``: call again until there are none.

        ``among``: no others are looked at.
        """
        with self.unit_of_work() as work:
            expired = work.replies.fail_expired(limit=self.batch, policy=self.policy, among=among)
            refund_all(work, [ended.charge for ended in expired])
            work.commit()
        for ended in expired:
            self.publisher.publish(ended.reply_id, Chunk.last(ended.generation))
        return expired


@dataclass(frozen=True, slots=True)
class SettleOverdue:
    """Keeps the promise of a clear failure at the deadline where no worker does. Of all who try, one ends a reply."""

    unit_of_work: UnitOfWorkFactory
    fail_expired: FailExpiredReplies

    def __call__(self, overdue: Collection[ReplyId]) -> None:
        """Ends those replies that a reader found to be overdue, if that is possible now: it is worth no error."""
        with suppress(DependencyDown):
            self.fail_expired(among=overdue)

    def making_room(self, accept: Callable[[], T], *, of: UserId) -> T:
        """Returns what ``accept`` returns, called again if a backlog was full of what is overdue. Raises as it does."""
        try:
            return accept()
        except TooManyUnfinishedReplies:
            if not self._ends(of=of):
                raise
        except BacklogFull:
            if not self._ends(of=None):
                raise
        return accept()

    def _ends(self, *, of: UserId | None) -> bool:
        with self.unit_of_work() as work:
            overdue = work.replies.overdue(of=of, limit=self.fail_expired.batch)
        if overdue:
            self.fail_expired(among=overdue)
        return bool(overdue)
