"""A worker claims due replies, asks the language model for them and stores the outcomes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from application.chat.history import within_budget
from application.ports.language_model import AnswerStopped, Exchange, LanguageModel, Prompt, Stop
from application.ports.reader import Reader
from application.ports.reply_stream import Chunk, Position, ReplyPublisher
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.replies import (
    ANSWER_MAX_BYTES,
    Answer,
    AnswerFailed,
    Charge,
    Claim,
    ClaimedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
    Slots,
    TryAgain,
)

MAX_HISTORY_TURNS = 50


@dataclass(frozen=True, slots=True)
class Stopped:
    """The answer was stopped after the text ``partial``; ``asked`` False: before the model was asked for it."""

    partial: str
    asked: bool = True


Outcome = Answer | AnswerFailed | Stopped


class Stored(NamedTuple):
    """The state that an outcome leaves a reply in. ``others_wait`` False: no other reply has had to wait for it."""

    state: ReplyState
    others_wait: bool = True


@dataclass(frozen=True, slots=True)
class ClaimReplies:
    """Claims due replies. Any number of workers may do so at once."""

    unit_of_work: UnitOfWorkFactory
    policy: ReplyPolicy

    def __call__(self, slots: Slots) -> Sequence[ClaimedReply]:
        """Returns at most as many replies as slots are free, each leased to this caller."""
        with self.unit_of_work.autocommit() as work:
            return work.replies.claim_due(
                limit=slots.free, basic_first=slots.kept_for_basic, policy=self.policy.shared(slots.total)
            )


@dataclass(frozen=True, slots=True)
class AskModel:
    """Asks the language model for a reply, outside of any transaction, and publishes the chunks as they come."""

    reader: Reader
    language_model: LanguageModel
    publisher: ReplyPublisher
    history_tokens: int

    def __call__(self, reply: ClaimedReply, *, stop: Stop) -> Outcome:
        """Returns the outcome. Raises DependencyDown when the history cannot be read; the model was not asked then."""
        prompt = Prompt(reply.prompt, self._history(reply), reply.system_prompt, asked_by=reply.user_id)
        if stop.requested:
            return Stopped("", asked=False)
        position = Position(reply.generation, 0)
        text = _BoundedText()
        # The call is stopped when the user wishes, and when its text is long enough.
        stop_call = Stop()
        stop.when_requested(stop_call.request)
        if reply.generation > 1:
            # Subscribers that follow an earlier generation learn at once that a new one has begun.
            self.publisher.publish(reply.claim.reply_id, Chunk(position, ""))

        def on_chunk(chunk: str) -> None:
            nonlocal position
            kept = text.add(chunk)
            if text.full:
                stop_call.request()
            if kept:
                position = Position(reply.generation, position.characters + len(kept))
                self.publisher.publish(reply.claim.reply_id, Chunk(position, kept))

        try:
            answer = self.language_model.write(
                prompt, within=timedelta(seconds=reply.seconds_left), stop=stop_call, on_chunk=on_chunk
            )
        except AnswerFailed as failure:
            return failure
        except AnswerStopped as stopped:
            if not text.full or stop.requested:
                return Stopped(text.whole())
            answer = Answer(text.whole(), stopped.model or "unknown")
        return replace(answer, text=text.whole(), truncated=True) if text.full else answer

    def _history(self, reply: ClaimedReply) -> Sequence[Exchange]:
        if self.history_tokens == 0:
            return ()
        newest_first = self.reader.history(reply.chatroom_id, before=reply.message_id, turns=MAX_HISTORY_TURNS)
        return within_budget(newest_first, tokens=self.history_tokens)


class _BoundedText:
    """A text that grows up to ANSWER_MAX_BYTES. ``full``: more came, and was thrown away."""

    def __init__(self) -> None:
        self.full = False
        self._chunks: list[str] = []
        self._bytes = 0

    def add(self, chunk: str) -> str:
        """Returns what was kept of ``chunk``."""
        encoded = chunk.encode()
        remaining = max(ANSWER_MAX_BYTES - self._bytes, 0)
        if len(encoded) > remaining:
            self.full = True
            # A character is kept as a whole or not at all.
            chunk = encoded[:remaining].decode(errors="ignore")
        self._bytes += len(encoded)
        self._chunks.append(chunk)
        return chunk

    def whole(self) -> str:
        return "".join(self._chunks)


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """Stores the outcome of ``AskModel``. Safe to repeat when the database did not answer."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    policy: ReplyPolicy

    def __call__(self, reply: ClaimedReply, outcome: Outcome) -> Stored | None:
        """Returns the new state; None when the lease is lost or the reply is gone, and then nothing was stored."""
        stored = self._finish(reply, outcome) if isinstance(outcome, Answer) else self._end_or_postpone(reply, outcome)
        if stored is not None and stored.state is not ReplyState.QUEUED:
            characters = len(outcome.text) if isinstance(outcome, Answer) else 0
            self.publisher.publish(reply.claim.reply_id, Chunk.last(reply.generation, characters))
        return stored

    def _finish(self, reply: ClaimedReply, answer: Answer) -> Stored | None:
        # Nothing is refunded, so this is one write, and atomic by itself.
        with self.unit_of_work.autocommit() as work:
            finished = work.replies.finish(reply.claim, answer)
        return Stored(ReplyState.DONE, others_wait=finished.others_wait) if finished else None

    def _end_or_postpone(self, reply: ClaimedReply, outcome: AnswerFailed | Stopped) -> Stored | None:
        with self.unit_of_work() as work:
            state = self._store(work, reply, outcome)
            if state is not None:
                work.commit()
        return Stored(state) if state is not None else None

    def _store(self, work: UnitOfWork, reply: ClaimedReply, outcome: AnswerFailed | Stopped) -> ReplyState | None:
        if isinstance(outcome, Stopped):
            # The model was asked for what the user did not want any more: it costs a prompt, however much came of it.
            # Otherwise a plan's prompts would be no bound on the calls.
            return self._stop(work, reply, outcome.partial, refund=not outcome.asked)
        step = self.policy.after_failure(outcome, reply)
        if isinstance(step, TryAgain):
            if work.replies.postpone(reply.claim, delay=step.delay, counted=step.counted):
                return ReplyState.QUEUED
            # The lease is lost, or the user has cancelled the reply.
            return self._stop(work, reply, "", refund=True)
        return self._refund(work, work.replies.fail(reply.claim, step.reason), ReplyState.FAILED)

    def _stop(self, work: UnitOfWork, reply: ClaimedReply, partial: str, *, refund: bool) -> ReplyState | None:
        charge = work.replies.stop(reply.claim, partial=partial, refund=refund)
        if not refund and charge is not None:
            return ReplyState.CANCELLED
        return self._refund(work, charge, ReplyState.CANCELLED)

    @staticmethod
    def _refund(work: UnitOfWork, charge: Charge | None, state: ReplyState) -> ReplyState | None:
        # In the transaction that ends the reply: both happen, or neither.
        if charge is None:
            return None
        work.usage.refund(charge)
        return state


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Keeps a reply that is being written for the worker that writes it."""

    unit_of_work: UnitOfWorkFactory
    policy: ReplyPolicy

    @property
    def due_after(self) -> timedelta:
        """How long after the claim or the last renewal."""
        return self.policy.renew_lease_after

    def __call__(self, claim: Claim) -> bool:
        """Returns False when the lease is lost or the reply is gone: what is written of it cannot be stored."""
        with self.unit_of_work.autocommit() as work:
            return work.replies.renew_lease(claim, policy=self.policy)


@dataclass(frozen=True, slots=True)
class FindStops:
    """Finds the replies that a worker is writing and should stop: cancelled ones, and deleted ones."""

    unit_of_work: UnitOfWorkFactory

    def __call__(self, running: Collection[ReplyId]) -> Collection[ReplyId]:
        with self.unit_of_work.autocommit() as work:
            return work.replies.to_be_stopped(running)


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Hands back a reply that a worker cannot finish because the worker is shutting down."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, reply: ClaimedReply) -> None:
        """Makes the reply due again, without counting the attempt. One that is to be cancelled ends here."""
        with self.unit_of_work() as work:
            postponed = work.replies.postpone(reply.claim, delay=timedelta(), counted=False)
            if not postponed:
                charge = work.replies.stop(reply.claim, partial="", refund=True)
                if charge is None:  # the lease is lost
                    return
                work.usage.refund(charge)
            work.commit()
        if not postponed:
            self.publisher.publish(reply.claim.reply_id, Chunk.last(reply.generation))
