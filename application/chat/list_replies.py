"""Users look at every reply to a message, also at the older ones."""

from dataclasses import dataclass

from application.chat.expiry import SettleOverdue
from application.ports.reader import Reader, ReplyPage
from domain.accounts import UserId
from domain.chat import MessageId
from domain.errors import MessageNotFound
from domain.replies import ReplyId

DEFAULT_REPLIES_PER_PAGE = 20


@dataclass(frozen=True, slots=True)
class ListReplies:
    reader: Reader
    settle: SettleOverdue

    def __call__(
        self,
        *,
        user_id: UserId,
        entry_id: MessageId | ReplyId,
        limit: int = DEFAULT_REPLIES_PER_PAGE,
        after: ReplyId | None = None,
    ) -> ReplyPage:
        """Returns at most ``limit`` replies newer than ``after``, oldest first.

        Raises MessageNotFound unless the message is the user's own.
        """
        page = self._read(user_id, entry_id, limit, after)
        overdue = [reply.reply_id for reply in page.replies if reply.overdue]
        if overdue:
            self.settle(overdue)
            page = self._read(user_id, entry_id, limit, after)
        return page

    def _read(self, user_id: UserId, entry_id: MessageId | ReplyId, limit: int, after: ReplyId | None) -> ReplyPage:
        page = self.reader.replies(user_id, entry_id, limit=limit, after=after)
        if page is None:
            raise MessageNotFound
        return page
