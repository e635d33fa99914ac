"""The queue of replies."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from adapters.memory.tables import ReplyRow
from adapters.memory.transaction import Repository, writes
from application.ports.replies import Finished, Replies
from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import BacklogFull, TooManyUnfinishedReplies
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    EndedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
)


class MemoryReplies(Repository, Replies):
    @writes
    def add(self, reply: QueuedReply) -> None:
        earlier = (row.generation for row in self._tables.replies.values() if row.queued.message_id == reply.message_id)
        self._tables.replies[reply.id] = ReplyRow(
            generation=max(earlier, default=0),
            queued=reply,
            state=ReplyState.QUEUED,
            available_at=self._now,
            deadline=self._now + reply.answer_within,
        )
        self._tables.number(reply.id)

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        unfinished = [row for row in self._tables.replies.values() if row.unfinished]
        if sum(row.queued.user_id == user_id for row in unfinished) >= policy.user_backlog:
            raise TooManyUnfinishedReplies(limit=policy.user_backlog)
        if len(unfinished) >= policy.backlog:
            raise BacklogFull

    @writes
    def claim_due(self, *, limit: int, basic_first: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        # Whether an earlier one is unfinished is asked of the state before this claim, as one SQL statement does.
        due = sorted(
            (row for row in self._tables.replies.values() if self._is_due(row, policy)),
            key=lambda row: (not row.queued.urgent, row.due_at, row.queued.id),
        )
        running = Counter(
            row.queued.user_id
            for row in self._tables.replies.values()
            if row.state is ReplyState.RUNNING and row.due_at > self._now
        )
        allowed: list[ReplyRow] = []
        for row in due:
            if running[row.queued.user_id] < policy.user_concurrency:
                running[row.queued.user_id] += 1
                allowed.append(row)
        basic = [row for row in allowed if not row.queued.urgent]
        urgent = [row for row in allowed if row.queued.urgent]
        in_order = [*basic[:basic_first], *urgent, *basic[basic_first:]]
        return [self._claim(row, policy) for row in in_order[:limit]]

    @writes
    def renew_lease(self, claim: Claim, *, policy: ReplyPolicy) -> bool:
        row = self._held(claim)
        if row is None:
            return False
        self._tables.replies[claim.reply_id] = replace(row, lease_until=self._now + policy.lease)
        return True

    @writes
    def finish(self, claim: Claim, answer: Answer) -> Finished | None:
        row = self._held(claim)
        if row is None:
            return None
        self._put(
            row,
            state=ReplyState.DONE,
            content=answer.text,
            model=answer.model,
            truncated=answer.truncated,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            finished_at=self._now,
        )
        theirs = [one for one in self._tables.replies.values() if one.queued.user_id == row.queued.user_id]
        return Finished(others_wait=any(not one.state.final for one in theirs))

    @writes
    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        row = self._held(claim)
        if row is None or row.stop_requested:
            return False
        attempt = row.attempt if counted else row.attempt - 1
        self._put(row, state=ReplyState.QUEUED, available_at=self._now + delay, attempt=attempt)
        return True

    @writes
    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        row = self._held(claim)
        if row is None:
            return None
        return self._end(row, state=ReplyState.FAILED, failure=reason).charge

    @writes
    def stop(self, claim: Claim, *, partial: str, refund: bool) -> Charge | None:
        row = self._held(claim)
        if row is None:
            return None
        return self._end(row, state=ReplyState.CANCELLED, content=partial or None, refund=refund).charge

    @writes
    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        row = self._tables.replies[reply_id]
        if row.state is ReplyState.QUEUED:
            return self._end(row, state=ReplyState.CANCELLED)
        if row.state is ReplyState.RUNNING:
            self._tables.replies[reply_id] = replace(row, stop_requested=True)
        return row.state

    def not_begun_in(self, chatroom_id: ChatroomId) -> Sequence[Charge]:
        return [
            Charge(row.queued.user_id, row.queued.charged_on)
            for row in self._tables.replies.values()
            if row.queued.chatroom_id == chatroom_id and row.state is ReplyState.QUEUED
        ]

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        rows = {reply_id: self._tables.replies.get(reply_id) for reply_id in reply_ids}
        return [reply_id for reply_id, row in rows.items() if row is None or row.stop_requested]

    def overdue(self, *, of: UserId | None, limit: int) -> Sequence[ReplyId]:
        rows = sorted((row for row in self._tables.replies.values() if row.unfinished), key=lambda row: row.due_at)
        if of is not None:
            found = [row for row in rows if row.queued.user_id == of]
        else:
            urgent = [row for row in rows if row.queued.urgent]
            others = [row for row in rows if not row.queued.urgent]
            found = [*urgent[:limit], *others[:limit]]
        return [row.queued.id for row in found if row.overdue(self._now)]

    @writes
    def give_up(self, reply_id: ReplyId, reason: FailureReason) -> EndedReply | None:
        row = self._tables.replies.get(reply_id)
        if row is None or not row.unfinished:
            return None
        return self._end(row, state=ReplyState.FAILED, failure=reason, stop_requested=True)

    @writes
    def fail_expired(
        self, *, limit: int, policy: ReplyPolicy, among: Collection[ReplyId] | None = None
    ) -> Sequence[EndedReply]:
        rows = self._tables.replies.values()
        expired = [row for row in rows if (among is None or row.queued.id in among) and self._is_expired(row, policy)]
        return [self._give_up(row) for row in expired[:limit]]

    def _give_up(self, row: ReplyRow) -> EndedReply:
        if row.stop_requested:
            return self._end(row, state=ReplyState.CANCELLED)
        late = row.deadline <= self._now
        reason = FailureReason.DEADLINE_EXCEEDED if late else FailureReason.ATTEMPTS_EXHAUSTED
        return self._end(row, state=ReplyState.FAILED, failure=reason)

    def _is_due(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        return (
            row.unfinished
            and not row.stop_requested
            and row.due_at <= self._now < row.deadline
            and row.attempt < policy.max_attempts
            and not any(
                other.unfinished
                and other.queued.chatroom_id == row.queued.chatroom_id
                and self._tables.sequences[other.queued.id] < self._tables.sequences[row.queued.id]
                for other in self._tables.replies.values()
            )
        )

    def _is_expired(self, row: ReplyRow, policy: ReplyPolicy) -> bool:
        if row.overdue(self._now):
            return True
        if row.state is not ReplyState.RUNNING or row.due_at > self._now:
            return False
        return row.attempt >= policy.max_attempts or row.stop_requested

    def _claim(self, row: ReplyRow, policy: ReplyPolicy) -> ClaimedReply:
        claim = Claim(row.queued.id, uuid4())
        self._tables.replies[row.queued.id] = replace(
            row,
            state=ReplyState.RUNNING,
            attempt=row.attempt + 1,
            generation=row.generation + 1,
            lease_token=claim.lease_token,
            lease_until=self._now + policy.lease,
        )
        return ClaimedReply(
            claim=claim,
            message_id=row.queued.message_id,
            chatroom_id=row.queued.chatroom_id,
            user_id=row.queued.user_id,
            attempt=row.attempt + 1,
            generation=row.generation + 1,
            urgent=row.queued.urgent,
            prompt=self._tables.messages[row.queued.message_id].content,
            system_prompt=self._tables.chatrooms[row.queued.chatroom_id].system_prompt,
            seconds_left=(row.deadline - self._now).total_seconds(),
            seconds_queued=(self._now - row.available_at).total_seconds(),
        )

    def _held(self, claim: Claim) -> ReplyRow | None:
        row = self._tables.replies.get(claim.reply_id)
        if row is None or row.state is not ReplyState.RUNNING:
            return None
        return row if row.lease_token == claim.lease_token else None

    def _put(self, row: ReplyRow, **changes: object) -> None:
        """Leave RUNNING: whatever changes, the lease is over."""
        self._tables.replies[row.queued.id] = replace(row, lease_token=None, lease_until=None, **changes)  # type: ignore[arg-type]

    def _end(
        self, row: ReplyRow, *, failure: FailureReason | None = None, refund: bool = True, **changes: object
    ) -> EndedReply:
        refunded_at = self._now if refund else None
        self._put(row, finished_at=self._now, refunded_at=refunded_at, failure=failure, **changes)
        return EndedReply(row.queued.id, row.generation, failure, Charge(row.queued.user_id, row.queued.charged_on))
