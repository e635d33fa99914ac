"""How long and how often a reply is tried."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chat import ChatroomId, MessageId
from domain.replies import (
    RETRYABLE,
    AnswerFailed,
    Claim,
    ClaimedReply,
    FailureReason,
    GiveUp,
    ReplyId,
    ReplyPolicy,
    TryAgain,
)
from entrypoints.container.policies import reply_policy_of
from entrypoints.settings import read_settings

SECONDS = timedelta(seconds=1)
BUSY = FailureReason.MODEL_BUSY


def claimed(attempt: int = 1, seconds_left: float = 300.0) -> ClaimedReply:
    claim = Claim(ReplyId(UUID(int=1)), UUID(int=2))
    return ClaimedReply(
        claim=claim,
        message_id=MessageId(UUID(int=2)),
        chatroom_id=ChatroomId(UUID(int=3)),
        attempt=attempt,
        generation=attempt,
        urgent=False,
        prompt="hi",
        system_prompt=None,
        seconds_left=seconds_left,
        seconds_queued=0.0,
    )


def busy(retry_after: float | None = None) -> AnswerFailed:
    return AnswerFailed(BUSY, retry_after=None if retry_after is None else retry_after * SECONDS)


@pytest.mark.parametrize("reason", list(FailureReason))
def test_only_what_may_pass_is_tried_again(reason: FailureReason):
    step = ReplyPolicy().after_failure(AnswerFailed(reason), claimed())
    assert step == (TryAgain(2 * SECONDS) if reason in RETRYABLE else GiveUp(reason))


def test_what_may_pass_is_a_busy_or_unreachable_model():
    assert {FailureReason.MODEL_BUSY, FailureReason.MODEL_UNREACHABLE} == RETRYABLE


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 3), (2, 6), (3, 12), (4, 24)])
def test_the_wait_doubles(attempt: int, seconds: int):
    policy = ReplyPolicy(max_attempts=9, first_backoff=3 * SECONDS)
    assert policy.after_failure(busy(), claimed(attempt)) == TryAgain(seconds * SECONDS)


def test_the_last_attempt_is_the_last():
    policy = ReplyPolicy(max_attempts=3)
    assert isinstance(policy.after_failure(busy(), claimed(2)), TryAgain)
    assert policy.after_failure(busy(), claimed(3)) == GiveUp(BUSY)
    assert policy.after_failure(busy(), claimed(4)) == GiveUp(BUSY)


@pytest.mark.parametrize(("retry_after", "seconds"), [(0, 2), (1, 2), (2.5, 2.5), (60, 60)])
def test_the_provider_may_ask_for_more_patience_but_not_for_less(retry_after: float, seconds: float):
    assert ReplyPolicy().after_failure(busy(retry_after), claimed()) == TryAgain(seconds * SECONDS)


@pytest.mark.parametrize(("seconds_left", "goes_on"), [(10.001, True), (10.0, False), (3.0, False), (0.0, False)])
def test_a_wait_that_ends_after_the_deadline_is_not_begun(seconds_left: float, goes_on: bool):
    step = ReplyPolicy().after_failure(busy(10), claimed(seconds_left=seconds_left))
    assert step == (TryAgain(10 * SECONDS) if goes_on else GiveUp(BUSY))


@given(attempt=st.integers(1, 100), seconds_left=st.floats(0, 86_400), retry_after=st.none() | st.floats(0, 10**9))
def test_any_failure_of_any_attempt_that_the_settings_allow_has_a_next_step(
    attempt: int, seconds_left: float, retry_after: float | None
):
    # Attempts that ended with their worker are counted without a wait, so a late one may have much time left.
    policy = ReplyPolicy(max_attempts=100, deadline=timedelta(days=1))
    step = policy.after_failure(busy(retry_after), claimed(attempt, seconds_left))
    if isinstance(step, TryAgain):
        assert 2 * SECONDS <= step.delay < seconds_left * SECONDS


def test_the_settings_say_how_long_and_how_often(tmp_path):
    given = {"REPLY_LEASE_SECONDS": "7", "REPLY_MAX_ATTEMPTS": "4", "REPLY_DEADLINE_SECONDS": "90"}
    policy = reply_policy_of(read_settings({"DATA_DIR": str(tmp_path), **given}))
    assert (policy.lease, policy.max_attempts, policy.deadline) == (7 * SECONDS, 4, 90 * SECONDS)


def test_the_settings_say_how_many_at_once(tmp_path):
    given = {"USER_CONCURRENT_REPLIES": "3", "USER_BACKLOG_REPLIES": "30", "BACKLOG_REPLIES": "300"}
    policy = reply_policy_of(read_settings({"DATA_DIR": str(tmp_path), **given}))
    assert (policy.user_concurrency, policy.user_backlog, policy.backlog) == (3, 30, 300)


@pytest.mark.parametrize("attempt", [1, 3, 9])
def test_a_model_that_was_not_asked_is_asked_again_whatever_the_attempt(attempt: int):
    policy = ReplyPolicy(max_attempts=3)
    not_asked = AnswerFailed(BUSY, retry_after=10 * SECONDS, asked=False)
    assert policy.after_failure(not_asked, claimed(attempt)) == TryAgain(10 * SECONDS, counted=False)
    assert policy.after_failure(AnswerFailed(BUSY, asked=False), claimed(attempt)) == TryAgain(
        policy.first_backoff, counted=False
    )
    assert policy.after_failure(not_asked, claimed(attempt, seconds_left=10)) == GiveUp(BUSY)
