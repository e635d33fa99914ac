"""Operators look at replies, have them tried again, and end those that wait in vain."""

from dataclasses import dataclass

from application.chat.manage_reply import AskAgain
from application.chat.send_message import SentMessage
from application.ports.reply_files import ReplyFile, ReplyFiles
from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.errors import MessageNotFound, ReplyFinished
from domain.replies import EndedReply, FailureReason, ReplyId


@dataclass(frozen=True, slots=True)
class ShowReply:
    reply_files: ReplyFiles

    def __call__(self, reply_id: ReplyId) -> ReplyFile:
        """Raises MessageNotFound."""
        found = self.reply_files.find(reply_id)
        if found is None:
            raise MessageNotFound
        return found


@dataclass(frozen=True, slots=True)
class RetryReply:
    """Has a reply tried again as its user could: by the same rules, at the user's charge. What failed was refunded."""

    show_reply: ShowReply
    ask_again: AskAgain

    def __call__(self, reply_id: ReplyId) -> SentMessage:
        """Returns the new reply. Raises MessageNotFound, ReplyNotFailed, or as SendMessage."""
        user_id = self.show_reply(reply_id).line.user_id
        return self.ask_again.retry(user_id=user_id, entry_id=reply_id)


@dataclass(frozen=True, slots=True)
class GiveUpReply:
    """Ends an unfinished reply as failed, and refunds it. A worker that is writing it stops, and stores nothing."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    show_reply: ShowReply

    def __call__(self, reply_id: ReplyId) -> EndedReply:
        """Raises MessageNotFound or ReplyFinished."""
        self.show_reply(reply_id)
        with self.unit_of_work() as work:
            ended = work.replies.give_up(reply_id, FailureReason.GIVEN_UP)
            if ended is None:
                raise ReplyFinished
            work.usage.refund(ended.charge)
            work.commit()
        self.publisher.publish(reply_id, Chunk.last(ended.generation))
        return ended
