"""Workers answer what was accepted: one reply each, or one clear failure that costs nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from application.chat.write_reply import Outcome, Stopped
from application.ports.language_model import Prompt, Stop
from domain.errors import DependencyDown
from domain.replies import (
    ANSWER_MAX_BYTES,
    Answer,
    AnswerFailed,
    ClaimedReply,
    FailureReason,
    ReplyPolicy,
    ReplyState,
)
from tests.builders import ASHA, RAVI, House, OneReply

SECONDS = timedelta(seconds=1)
POLICY = ReplyPolicy(lease=60 * SECONDS, max_attempts=3, deadline=300 * SECONDS, first_backoff=2 * SECONDS)

BUSY = FailureReason.MODEL_BUSY
UNREACHABLE = FailureReason.MODEL_UNREACHABLE
PERMANENT = [
    FailureReason.MODEL_REJECTED_REQUEST,
    FailureReason.MODEL_NOT_FOUND,
    FailureReason.MODEL_MISCONFIGURED,
    FailureReason.PROMPT_TOO_LONG,
    FailureReason.REFUSED,
]


class WrittenReply(OneReply):
    def __init__(self, policy: ReplyPolicy = POLICY) -> None:
        super().__init__(reply_policy=policy)

    @property
    def prompts(self) -> list[str]:
        return [prompt.text for prompt in self.house.model.prompts]

    @property
    def outcome(self) -> tuple[str, str]:
        """What the conversation shows after the message."""
        return self.house.conversation(self.asha, self.room)[1]


def test_the_answer_is_stored_with_what_is_known_of_it():
    reply = WrittenReply()
    reply.house.model.will(Answer("Hello!", "gemini-x", input_tokens=3, output_tokens=2, truncated=True))
    reply.house.clock.advance(SECONDS)
    assert reply.house.work() == [ReplyState.DONE]
    conversation = reply.house.use_cases.chat.read_chatroom(user_id=reply.asha.user_id, chatroom_id=reply.room)
    [turn] = conversation.turns
    assert (turn.reply_content, turn.model, turn.input_tokens, turn.output_tokens, turn.truncated, turn.failure) == (
        "Hello!",
        "gemini-x",
        3,
        2,
        True,
        None,
    )
    assert turn.finished_at == reply.house.clock()
    assert reply.used == 1


def test_a_message_is_answered_once():
    reply = WrittenReply()
    reply.house.work()
    assert reply.house.work() == []
    assert reply.prompts == ["hi"]


def test_what_one_worker_has_another_does_not_get():
    reply = WrittenReply()
    assert len(reply.house.claim()) == 1
    assert reply.house.claim() == []


# --- Failures ---


@pytest.mark.parametrize("reason", [FailureReason.EMPTY_ANSWER, FailureReason.ANSWER_INTERRUPTED])
def test_an_answer_that_came_to_nothing_is_asked_for_again(reason: FailureReason):
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(reason), Answer("Good.", "m"))
    reply.house.work()
    reply.house.clock.advance(2 * SECONDS)
    reply.house.work()
    assert reply.outcome == ("bot", "Good.")


@pytest.mark.parametrize("reason", PERMANENT)
def test_what_trying_again_cannot_change_fails_at_once_and_costs_nothing(reason: FailureReason):
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(reason))
    assert reply.house.work() == [ReplyState.FAILED]
    assert reply.outcome == ("failed", reason.value)
    assert reply.used == 0


@pytest.mark.parametrize("reason", [BUSY, FailureReason.MODEL_UNREACHABLE])
def test_what_may_pass_is_tried_again_after_a_while(reason: FailureReason):
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(reason))
    assert reply.house.work() == [ReplyState.QUEUED]
    assert reply.outcome == ("queued", "")
    assert reply.used == 1
    reply.house.clock.advance(2 * SECONDS)
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.outcome == ("bot", "echo: hi")
    assert reply.used == 1


def test_the_wait_doubles_and_the_last_attempt_is_the_last():
    reply = WrittenReply()
    reply.house.model.will(*[AnswerFailed(UNREACHABLE)] * 3)
    assert reply.house.work() == [ReplyState.QUEUED]
    reply.house.clock.advance(2 * SECONDS - timedelta(microseconds=1))
    assert reply.house.work() == []
    reply.house.clock.advance(timedelta(microseconds=1))
    assert reply.house.work() == [ReplyState.QUEUED]
    reply.house.clock.advance(3 * SECONDS)
    assert reply.house.work() == []
    reply.house.clock.advance(SECONDS)
    assert reply.house.work() == [ReplyState.FAILED]
    assert reply.outcome == ("failed", "model_unreachable")
    assert reply.used == 0
    assert len(reply.house.model.prompts) == 3


def test_a_busy_provider_is_asked_until_the_deadline_and_no_attempt_is_used_up():
    reply = WrittenReply()
    reply.house.model.will(*[AnswerFailed(BUSY, status=429)] * 100)
    while reply.house.work() != [ReplyState.FAILED]:
        assert reply.row.attempt == 0
        reply.house.clock.advance(SECONDS)
    assert reply.outcome == ("failed", "model_busy")
    assert reply.used == 0
    assert 10 < len(reply.prompts) < 30
    assert reply.house.clock() - reply.sent.message.created_at > 280 * SECONDS


def test_the_providers_own_wish_is_waited_for():
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(BUSY, retry_after=30 * SECONDS))
    reply.house.work()
    reply.house.clock.advance(29 * SECONDS)
    assert reply.house.work() == []
    reply.house.clock.advance(SECONDS)
    assert reply.house.work() == [ReplyState.DONE]


def test_a_wait_past_the_deadline_is_a_failure_now():
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(BUSY, retry_after=300 * SECONDS))
    assert reply.house.work() == [ReplyState.FAILED]
    assert reply.outcome == ("failed", "model_busy")
    assert reply.used == 0


def test_a_message_that_no_worker_claimed_fails_at_its_deadline():
    reply = WrittenReply()
    reply.house.clock.advance(300 * SECONDS - timedelta(microseconds=1))
    assert reply.house.sweep() == 0
    reply.house.clock.advance(timedelta(microseconds=1))
    assert reply.house.claim() == []
    assert reply.house.sweep() == 1
    assert reply.outcome == ("failed", "deadline_exceeded")
    assert reply.used == 0
    assert reply.house.sweep() == 0
    assert reply.used == 0


def test_a_failed_message_gives_its_prompt_back_to_the_day_that_paid():
    reply = WrittenReply(replace(POLICY, deadline=timedelta(days=1)))
    reply.house.clock.advance(timedelta(hours=23))
    reply.house.say(reply.asha, reply.house.room(reply.asha), "of the next day")
    reply.house.model.will(AnswerFailed(FailureReason.REFUSED))
    assert reply.house.work() == [ReplyState.FAILED, ReplyState.DONE]
    assert sorted(reply.house.database.tables.daily_usage.values()) == [0, 1]
    assert reply.used == 1


def test_a_prompt_given_back_may_be_spent_again():
    house = House(basic_daily_prompts=1)
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "first")
    house.model.will(AnswerFailed(FailureReason.REFUSED))
    house.work()
    house.say(asha, room, "second")
    house.work()
    assert house.conversation(asha, room) == [
        ("user", "first"),
        ("failed", "refused"),
        ("user", "second"),
        ("bot", "echo: second"),
    ]


@pytest.mark.parametrize("reason", [BUSY, FailureReason.MODEL_UNREACHABLE])
def test_a_provider_that_was_not_even_asked_uses_no_attempt_up(reason: FailureReason):
    reply = WrittenReply()
    reply.house.model.will(*[AnswerFailed(reason, retry_after=10 * SECONDS, asked=False)] * 5)
    for _ in range(5):
        assert reply.house.work() == [ReplyState.QUEUED]
        assert reply.row.attempt == 0
        reply.house.clock.advance(10 * SECONDS - timedelta(microseconds=1))
        assert reply.house.work() == []
        reply.house.clock.advance(timedelta(microseconds=1))
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.row.attempt == 1
    assert reply.used == 1


def test_nor_does_the_wait_for_it_double():
    reply = WrittenReply()
    reply.house.model.will(*[AnswerFailed(BUSY, asked=False)] * 3)
    for _ in range(3):
        assert reply.house.work() == [ReplyState.QUEUED]
        reply.house.clock.advance(2 * SECONDS)
    assert reply.house.work() == [ReplyState.DONE]


def test_a_provider_that_stays_down_is_waited_for_until_the_deadline_and_no_longer():
    reply = WrittenReply()
    reply.house.model.will(*[AnswerFailed(BUSY, retry_after=100 * SECONDS, asked=False)] * 3)
    for state in (ReplyState.QUEUED, ReplyState.QUEUED, ReplyState.FAILED):
        assert reply.house.work() == [state]
        reply.house.clock.advance(100 * SECONDS)
    assert reply.outcome == ("failed", "model_busy")
    assert reply.used == 0


# --- The database goes down before the outcome is stored ---


@pytest.mark.parametrize(
    ("outcome", "state", "used"),
    [
        (Answer("hello", "scripted"), ReplyState.DONE, 1),
        (AnswerFailed(BUSY), ReplyState.QUEUED, 1),
        (AnswerFailed(FailureReason.REFUSED), ReplyState.FAILED, 0),
        (Stopped("hel"), ReplyState.CANCELLED, 1),
        (Stopped(""), ReplyState.CANCELLED, 1),
        (Stopped("", asked=False), ReplyState.CANCELLED, 0),
    ],
)
def test_an_outcome_is_stored_once_however_often_that_is_tried(outcome: Outcome, state: ReplyState, used: int):
    reply = WrittenReply()
    claimed = reply.house.claim_one()
    store = reply.house.replying.store_outcome
    reply.house.database_probe.on = False
    for _ in range(2):
        with pytest.raises(DependencyDown):
            store(claimed, outcome)
    reply.house.database_probe.on = True
    assert reply.row.state is ReplyState.RUNNING
    assert not reply.house.stream.published(reply.sent.reply_id)  # what is not stored is not published
    stored = store(claimed, outcome)
    assert stored is not None
    assert stored.state is state
    row = reply.row
    # The commit came through, and only its acknowledgement was lost.
    assert store(claimed, outcome) is None
    assert reply.row == row
    assert (row.state, reply.used) == (state, used)


def test_listeners_are_told_of_the_end_when_it_is_stored():
    reply = WrittenReply()
    reply.house.model.will(AnswerFailed(BUSY))
    reply.house.work()
    assert not any(chunk.final for chunk in reply.house.stream.published(reply.sent.reply_id))
    reply.house.clock.advance(2 * SECONDS)
    reply.house.work()
    final = reply.house.stream.published(reply.sent.reply_id)[-1]
    assert (final.final, final.end) == (True, (2, len("echo: hi")))


# --- Workers die, stop and come back ---


def test_the_reply_of_a_worker_that_died_goes_to_another_when_its_lease_runs_out():
    reply = WrittenReply()
    reply.house.claim_one()
    reply.house.clock.advance(60 * SECONDS - timedelta(microseconds=1))
    assert reply.house.work() == []
    reply.house.clock.advance(timedelta(microseconds=1))
    assert reply.house.sweep() == 0
    assert reply.house.claim_one().attempt == 2


def test_a_message_that_kills_its_worker_is_tried_three_times_and_costs_nothing():
    reply = WrittenReply()
    for attempt in (1, 2, 3):
        assert reply.house.claim_one().attempt == attempt
        reply.house.clock.advance(60 * SECONDS)
    assert reply.house.claim() == []
    assert reply.house.sweep() == 1
    assert reply.outcome == ("failed", "attempts_exhausted")
    assert reply.used == 0
    assert reply.house.model.prompts == []


def test_an_unexpected_error_counts_as_a_death():
    reply = WrittenReply()
    reply.house.model.will(RuntimeError("a bug"))
    claimed = reply.house.claim_one()
    with pytest.raises(RuntimeError):
        reply.house.write(claimed)
    assert reply.outcome == ("running", "")
    reply.house.clock.advance(60 * SECONDS)
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.used == 1


@pytest.mark.parametrize(
    "too_late", [Answer("too late", "zombie"), AnswerFailed(BUSY), AnswerFailed(FailureReason.REFUSED)]
)
def test_a_worker_that_was_thought_dead_writes_nothing(too_late: Answer | AnswerFailed):
    reply = WrittenReply()
    zombie = reply.house.claim_one()
    reply.house.clock.advance(60 * SECONDS)
    heir = reply.house.claim_one()
    reply.house.model.will(too_late)
    assert reply.house.write(zombie) is None
    assert reply.outcome == ("running", "")
    assert reply.house.write(heir) is ReplyState.DONE
    reply.house.model.will(too_late)
    assert reply.house.write(zombie) is None
    assert reply.outcome == ("bot", "echo: hi")
    assert reply.used == 1


def test_nor_does_it_undo_or_refund_again_what_the_sweeper_failed():
    reply = WrittenReply()
    zombie = reply.house.claim_one()
    reply.house.clock.advance(300 * SECONDS)
    assert reply.house.sweep() == 1
    reply.house.say(reply.asha, reply.house.room(reply.asha), "another")
    for late in (AnswerFailed(FailureReason.REFUSED), Answer("too late", "zombie")):
        reply.house.model.will(late)
        assert reply.house.write(zombie) is None
    assert reply.outcome == ("failed", "deadline_exceeded")
    assert reply.used == 1  # the other message


def test_a_slow_worker_may_still_finish_what_was_not_claimed_again():
    reply = WrittenReply()
    claimed = reply.house.claim_one()
    reply.house.clock.advance(61 * SECONDS)
    assert reply.house.write(claimed) is ReplyState.DONE


def test_handing_back_does_not_count_as_an_attempt():
    reply = WrittenReply()
    for _ in range(5):
        claimed = reply.house.claim_one()
        assert claimed.attempt == 1
        reply.house.replying.release(claimed)
    assert reply.outcome == ("queued", "")
    assert reply.house.work() == [ReplyState.DONE]


def test_who_has_handed_back_writes_nothing_and_hands_nothing_else_back():
    reply = WrittenReply()
    stopped = reply.house.claim_one()
    reply.house.replying.release(stopped)
    assert reply.house.write(stopped) is None
    heir = reply.house.claim_one()
    reply.house.replying.release(stopped)
    assert reply.outcome == ("running", "")
    assert reply.house.write(heir) is ReplyState.DONE


# --- Order and fairness ---


def test_one_room_is_answered_in_order_one_at_a_time():
    reply = WrittenReply()
    reply.house.say(reply.asha, reply.room, "and then")
    first = reply.house.claim_one()
    assert first.prompt == "hi"
    assert reply.house.claim() == []
    reply.house.write(first)
    assert reply.house.claim_one().prompt == "and then"


def test_a_reply_that_waits_for_its_next_attempt_holds_up_its_room_only():
    reply = WrittenReply()
    reply.house.say(reply.asha, reply.room, "and then")
    elsewhere = reply.house.room(reply.asha)
    reply.house.say(reply.asha, elsewhere, "elsewhere")
    reply.house.model.will(AnswerFailed(BUSY))
    assert reply.house.work() == [ReplyState.QUEUED, ReplyState.DONE]
    assert reply.house.conversation(reply.asha, elsewhere) == [("user", "elsewhere"), ("bot", "echo: elsewhere")]
    reply.house.clock.advance(2 * SECONDS)
    assert reply.house.work() == [ReplyState.DONE, ReplyState.DONE]
    assert reply.prompts == ["hi", "elsewhere", "hi", "and then"]


def test_after_a_failure_the_room_goes_on():
    reply = WrittenReply()
    reply.house.say(reply.asha, reply.room, "and then")
    reply.house.model.will(AnswerFailed(FailureReason.REFUSED))
    assert reply.house.work() == [ReplyState.FAILED, ReplyState.DONE]
    assert reply.house.conversation(reply.asha, reply.room) == [
        ("user", "hi"),
        ("failed", "refused"),
        ("user", "and then"),
        ("bot", "echo: and then"),
    ]


def test_no_more_are_taken_than_were_asked_for_and_the_oldest_first():
    reply = WrittenReply()
    ravi = reply.house.user(RAVI)
    reply.house.say(ravi, reply.house.room(ravi), "me too")
    [first] = reply.house.claim(limit=1)
    [second] = reply.house.claim(limit=1)
    assert [first.prompt, second.prompt] == ["hi", "me too"]


def test_a_sweep_fails_all_expired_replies_in_batches():
    house = House(basic_daily_prompts=250, reply_policy=replace(POLICY, user_backlog=250))
    asha = house.user(ASHA)
    room = house.room(asha)
    for number in range(250):
        house.say(asha, room, str(number))
    house.clock.advance(timedelta(minutes=5))
    assert [house.sweep() for _ in range(4)] == [100, 100, 50, 0]
    assert house.used(asha) == 0


# --- While the model thinks ---


def test_the_service_goes_on_while_the_model_thinks():
    reply = WrittenReply()

    class ThinkingModel:
        def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
            # In another thread: this one could enter its own transaction again.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(reply.house.say, reply.asha, reply.room, "are you there?").result(timeout=10)
            return Answer("I was thinking.", "slow")

    ask_model = replace(reply.house.replying.ask_model, language_model=ThinkingModel())
    reply.house.replying = replace(reply.house.replying, ask_model=ask_model)
    assert reply.house.write(reply.house.claim_one()) is ReplyState.DONE
    assert reply.house.conversation(reply.asha, reply.room) == [
        ("user", "hi"),
        ("bot", "I was thinking."),
        ("user", "are you there?"),
        ("queued", ""),
    ]


def test_the_model_has_the_time_that_is_left_to_the_deadline():
    given = []

    class HurriedModel:
        def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
            given.append(within)
            return Answer("quick", "hurried")

    def ask(house: House, claimed: ClaimedReply) -> None:
        replace(house.replying.ask_model, language_model=HurriedModel())(claimed, stop=Stop())

    for waited in (0, 280):
        reply = WrittenReply()
        reply.house.clock.advance(waited * SECONDS)
        ask(reply.house, reply.house.claim_one())
    assert given == [300 * SECONDS, 20 * SECONDS]


# --- Answers without an end ---


def test_an_answer_of_the_greatest_size_is_whole():
    reply = WrittenReply()
    reply.house.model.will(["x" * ANSWER_MAX_BYTES])
    assert reply.house.work() == [ReplyState.DONE]
    [turn] = reply.house.use_cases.chat.read_chatroom(user_id=reply.asha.user_id, chatroom_id=reply.room).turns
    assert (turn.reply_content, turn.truncated) == ("x" * ANSWER_MAX_BYTES, False)


@pytest.mark.parametrize("chunk", ["x" * 300_001, "ü" * 170_000, "🌤" * 90_001], ids=["1 byte", "2 bytes", "4 bytes"])
def test_a_longer_answer_is_cut_off_and_the_call_ends(chunk: str):
    reply = WrittenReply()
    never_asked_for = [chunk] * 20
    reply.house.model.will(never_asked_for)
    assert reply.house.work() == [ReplyState.DONE]
    [turn] = reply.house.use_cases.chat.read_chatroom(user_id=reply.asha.user_id, chatroom_id=reply.room).turns
    assert turn.truncated
    kept = turn.reply_content or ""
    assert ANSWER_MAX_BYTES - 4 < len(kept.encode()) <= ANSWER_MAX_BYTES
    assert (chunk * 20).startswith(kept)
    assert reply.used == 1


def test_a_longer_answer_that_came_at_once_is_cut_off_too():
    reply = WrittenReply()
    reply.house.model.will(Answer("x" * (ANSWER_MAX_BYTES + 1), "gemini-x"))
    assert reply.house.work() == [ReplyState.DONE]
    [turn] = reply.house.use_cases.chat.read_chatroom(user_id=reply.asha.user_id, chatroom_id=reply.room).turns
    assert (len(turn.reply_content or ""), turn.truncated, turn.model) == (ANSWER_MAX_BYTES, True, "gemini-x")
