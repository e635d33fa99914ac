"""A worker takes replies that are due, asks the model, and stores what came of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.language_model import AnswerStopped, Exchange, LanguageModel, Prompt, Stop
from application.ports.reader import Reader
from application.ports.reply_stream import Chunk, Position, ReplyPublisher
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.replies import (
    Answer,
    AnswerFailed,
    Charge,
    ClaimedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
    TryAgain,
)

# As the providers count for planning: four characters of English are about a token.
CHARACTERS_PER_TOKEN = 4
MAX_HISTORY_TURNS = 50


@dataclass(frozen=True, slots=True)
class Stopped:
    """The answer was stopped; ``partial`` is what there was of it."""

    partial: str


Outcome = Answer | AnswerFailed | Stopped


@dataclass(frozen=True, slots=True)
class ClaimReplies:
    """Takes replies that are due. Safe to call from any number of workers at once."""

    unit_of_work: UnitOfWorkFactory
    policy: ReplyPolicy

    def __call__(self, *, limit: int) -> Sequence[ClaimedReply]:
        """Up to ``limit`` replies, each now this caller's until its lease runs out."""
        with self.unit_of_work() as work:
            replies = work.replies.claim_due(limit=limit, policy=self.policy)
            work.commit()
        return replies


@dataclass(frozen=True, slots=True)
class AskModel:
    """Asks the model for a reply, with no transaction open, and lets listeners have the chunks."""

    reader: Reader
    language_model: LanguageModel
    publisher: ReplyPublisher
    policy: ReplyPolicy
    history_tokens: int

    def __call__(self, reply: ClaimedReply, *, stop: Stop) -> Outcome:
        """What came of it; DependencyDown when the history cannot be read."""
        prompt = Prompt(reply.prompt, self._history(reply), reply.system_prompt)
        position = Position(reply.generation, 0)
        chunks: list[str] = []
        # Listeners of an earlier run learn at once that another has begun.
        self.publisher.publish(reply.claim.reply_id, Chunk(position, ""))

        def on_chunk(text: str) -> None:
            nonlocal position
            chunks.append(text)
            position = Position(reply.generation, position.characters + len(text))
            self.publisher.publish(reply.claim.reply_id, Chunk(position, text))

        try:
            return self.language_model.write(
                prompt, within=self.policy.time_for_the_model(reply), stop=stop, on_chunk=on_chunk
            )
        except AnswerFailed as failure:
            return failure
        except AnswerStopped:
            return Stopped("".join(chunks))

    def _history(self, reply: ClaimedReply) -> Sequence[Exchange]:
        """The newest turns that fit into the budget, whole ones only, oldest first."""
        budget = self.history_tokens * CHARACTERS_PER_TOKEN
        if budget == 0:
            return ()
        kept: list[Exchange] = []
        for turn in self.reader.history(reply.chatroom_id, before=reply.message_id, turns=MAX_HISTORY_TURNS):
            budget -= len(turn.prompt) + len(turn.answer)
            if budget < 0:
                break
            kept.append(turn)
        return kept[::-1]


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """Stores what came of asking the model. It may be repeated when the database did not answer."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    policy: ReplyPolicy

    def __call__(self, reply: ClaimedReply, outcome: Outcome) -> ReplyState | None:
        """The state this leaves the reply in; None when another worker had been given it meanwhile, or it is gone."""
        # An answer is stored in one step, as nearly all replies end.
        with self.unit_of_work.autocommit() if isinstance(outcome, Answer) else self.unit_of_work() as work:
            state = self._store(work, reply, outcome)
            if state is None:
                return None
            work.commit()
        if state is not ReplyState.QUEUED:
            characters = len(outcome.text) if isinstance(outcome, Answer) else 0
            self.publisher.publish(reply.claim.reply_id, Chunk.last(reply.generation, characters))
        return state

    def _store(self, work: UnitOfWork, reply: ClaimedReply, outcome: Outcome) -> ReplyState | None:
        if isinstance(outcome, Answer):
            return ReplyState.DONE if work.replies.finish(reply.claim, outcome) else None
        if isinstance(outcome, Stopped):
            return self._stop(work, reply, outcome.partial)
        step = self.policy.after_failure(outcome, reply)
        if isinstance(step, TryAgain):
            if work.replies.postpone(reply.claim, delay=step.delay, counted=step.counted):
                return ReplyState.QUEUED
            # Fenced, or the user wants no other attempt.
            return self._stop(work, reply, "")
        return self._give_back(work, work.replies.fail(reply.claim, step.reason), ReplyState.FAILED)

    def _stop(self, work: UnitOfWork, reply: ClaimedReply, partial: str) -> ReplyState | None:
        charge = work.replies.stop(reply.claim, partial=partial)
        if partial and charge is not None:
            return ReplyState.CANCELLED
        return self._give_back(work, charge, ReplyState.CANCELLED)

    @staticmethod
    def _give_back(work: UnitOfWork, charge: Charge | None, state: ReplyState) -> ReplyState | None:
        """In the transaction of the state, so that it happens once or not at all."""
        if charge is None:
            return None
        work.usage.refund(charge)
        return state


@dataclass(frozen=True, slots=True)
class FindStops:
    """Says which of the replies that a worker is writing nobody wants any more: stopped, or gone with their user."""

    unit_of_work: UnitOfWorkFactory

    def __call__(self, running: Collection[ReplyId]) -> Collection[ReplyId]:
        """Those among ``running``."""
        with self.unit_of_work() as work:
            return work.replies.to_be_stopped(running)


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Hands a reply back that a worker cannot finish because it is being stopped."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, reply: ClaimedReply) -> None:
        """The reply is due again at once, and this attempt does not count; one that is to be stopped ends here."""
        with self.unit_of_work() as work:
            postponed = work.replies.postpone(reply.claim, delay=timedelta(), counted=False)
            if not postponed:
                charge = work.replies.stop(reply.claim, partial="")
                if charge is None:  # fenced
                    return
                work.usage.refund(charge)
            work.commit()
        if not postponed:
            self.publisher.publish(reply.claim.reply_id, Chunk.last(reply.generation))


@dataclass(frozen=True, slots=True)
class FailExpiredReplies:
    """What no worker is at work on any more: expired replies fail clearly and cost nothing."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    policy: ReplyPolicy
    batch: int = 100

    def __call__(self) -> int:
        """How many replies have failed now; call again while it is a full batch."""
        with self.unit_of_work() as work:
            expired = work.replies.fail_expired(limit=self.batch, policy=self.policy)
            for ended in expired:
                work.usage.refund(ended.charge)
            work.commit()
        for ended in expired:
            self.publisher.publish(ended.reply_id, Chunk.last(ended.generation))
        return len(expired)
