"""How long and how often a reply is tried."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts import UserId
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
UNREACHABLE = AnswerFailed(FailureReason.MODEL_UNREACHABLE)


def claimed(attempt: int = 1, seconds_left: float = 300.0) -> ClaimedReply:
    claim = Claim(ReplyId(UUID(int=1)), UUID(int=2))
    return ClaimedReply(
        claim=claim,
        message_id=MessageId(UUID(int=2)),
        chatroom_id=ChatroomId(UUID(int=3)),
        user_id=UserId(UUID(int=4)),
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
    assert step == (TryAgain(2 * SECONDS, counted=reason is not BUSY) if reason in RETRYABLE else GiveUp(reason))


def test_what_may_pass_is_a_provider_that_is_down_or_an_answer_that_broke_off():
    assert {
        FailureReason.MODEL_BUSY,
        FailureReason.MODEL_UNREACHABLE,
        FailureReason.ANSWER_INTERRUPTED,
        FailureReason.EMPTY_ANSWER,
    } == RETRYABLE


@pytest.mark.parametrize(
    ("attempt", "retry_after", "step"),
    [
        (1, None, GiveUp(BUSY)),
        (1, 18 * SECONDS, TryAgain(18 * SECONDS)),
        (2, 18 * SECONDS, GiveUp(BUSY)),
    ],
)
def test_a_spent_quota_is_asked_once_more_where_the_provider_says_when(
    attempt: int, retry_after: timedelta | None, step: TryAgain | GiveUp
):
    failure = AnswerFailed(BUSY, quota_spent=True, retry_after=retry_after)
    assert ReplyPolicy(max_attempts=5).after_failure(failure, claimed(attempt)) == step


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 3), (2, 6), (3, 12), (4, 24)])
def test_the_wait_doubles(attempt: int, seconds: int):
    policy = ReplyPolicy(max_attempts=9, first_backoff=3 * SECONDS)
    assert policy.after_failure(UNREACHABLE, claimed(attempt)) == TryAgain(seconds * SECONDS)


def test_the_last_attempt_is_the_last():
    policy = ReplyPolicy(max_attempts=3)
    assert isinstance(policy.after_failure(UNREACHABLE, claimed(2)), TryAgain)
    assert policy.after_failure(UNREACHABLE, claimed(3)) == GiveUp(UNREACHABLE.reason)
    assert policy.after_failure(UNREACHABLE, claimed(4)) == GiveUp(UNREACHABLE.reason)


@pytest.mark.parametrize(("waited", "seconds"), [(0, 2), (1, 2), (5, 5), (16, 16), (17, 16), (250, 16)])
def test_a_busy_provider_is_asked_again_after_as_long_as_was_waited_whatever_the_attempt(waited: int, seconds: int):
    policy = ReplyPolicy(max_attempts=3, deadline=300 * SECONDS)
    step = policy.after_failure(busy(), claimed(attempt=3, seconds_left=300 - waited))
    assert step == TryAgain(seconds * SECONDS, counted=False)


@pytest.mark.parametrize(("retry_after", "seconds"), [(0, 2), (1, 2), (2.5, 2.5), (60, 60)])
def test_the_provider_may_ask_for_more_patience_but_not_for_less(retry_after: float, seconds: float):
    assert ReplyPolicy().after_failure(busy(retry_after), claimed()) == TryAgain(seconds * SECONDS, counted=False)


@pytest.mark.parametrize(("seconds_left", "goes_on"), [(10.001, True), (10.0, False), (3.0, False), (0.0, False)])
def test_a_wait_that_ends_after_the_deadline_is_not_begun(seconds_left: float, goes_on: bool):
    step = ReplyPolicy().after_failure(busy(10), claimed(seconds_left=seconds_left))
    assert step == (TryAgain(10 * SECONDS, counted=False) if goes_on else GiveUp(BUSY))


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
