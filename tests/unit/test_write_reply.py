"""Workers answer what was accepted: one reply each, or one clear failure that costs nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from application.chat.write_reply import Outcome, Stopped
from application.ports.language_model import Prompt, Stop
from domain.errors import DependencyDown
from domain.replies import Answer, AnswerFailed, ClaimedReply, FailureReason, ReplyPolicy, ReplyState
from tests.builders import ASHA, RAVI, House

SECONDS = timedelta(seconds=1)
POLICY = ReplyPolicy(lease=60 * SECONDS, max_attempts=3, deadline=300 * SECONDS, first_backoff=2 * SECONDS)

BUSY = FailureReason.MODEL_BUSY
PERMANENT = [
    FailureReason.MODEL_REJECTED_REQUEST,
    FailureReason.MODEL_NOT_FOUND,
    FailureReason.REFUSED,
    FailureReason.EMPTY_ANSWER,
]


class AcceptedMessage:
    """A user, a chatroom and one accepted message whose reply is pending."""

    def __init__(self, policy: ReplyPolicy = POLICY) -> None:
        """Accept the message."""
        self.house = House(reply_policy=policy)
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha)
        self.sent = self.house.say(self.asha, self.room, "hi")

    @property
    def prompts(self) -> list[str]:
        """What the model was asked."""
        return [prompt.text for prompt in self.house.model.prompts]

    @property
    def outcome(self) -> tuple[str, str]:
        """What is said, or not, after the message."""
        return self.house.conversation(self.asha, self.room)[1]

    @property
    def used(self) -> int:
        """How many prompts the message has cost."""
        return self.house.used(self.asha)


def test_the_answer_is_stored_with_what_is_known_of_it():
    accepted = AcceptedMessage()
    accepted.house.model.will(Answer("Hello!", "gemini-x", input_tokens=3, output_tokens=2, truncated=True))
    accepted.house.clock.advance(SECONDS)
    assert accepted.house.work() == [ReplyState.DONE]
    conversation = accepted.house.use_cases.chat.read_chatroom(user_id=accepted.asha.user_id, chatroom_id=accepted.room)
    [turn] = conversation.turns
    assert (turn.reply_content, turn.model, turn.input_tokens, turn.output_tokens, turn.truncated, turn.failure) == (
        "Hello!",
        "gemini-x",
        3,
        2,
        True,
        None,
    )
    assert turn.finished_at == accepted.house.clock()
    assert accepted.used == 1


def test_a_message_is_answered_once():
    accepted = AcceptedMessage()
    accepted.house.work()
    assert accepted.house.work() == []
    assert accepted.prompts == ["hi"]


def test_what_one_worker_has_another_does_not_get():
    accepted = AcceptedMessage()
    assert len(accepted.house.claim()) == 1
    assert accepted.house.claim() == []


# --- Failures ---


@pytest.mark.parametrize("reason", PERMANENT)
def test_what_trying_again_cannot_change_fails_at_once_and_costs_nothing(reason: FailureReason):
    accepted = AcceptedMessage()
    accepted.house.model.will(AnswerFailed(reason))
    assert accepted.house.work() == [ReplyState.FAILED]
    assert accepted.outcome == ("failed", reason.value)
    assert accepted.used == 0


@pytest.mark.parametrize("reason", [BUSY, FailureReason.MODEL_UNREACHABLE])
def test_what_may_pass_is_tried_again_after_a_while(reason: FailureReason):
    accepted = AcceptedMessage()
    accepted.house.model.will(AnswerFailed(reason))
    assert accepted.house.work() == [ReplyState.QUEUED]
    assert accepted.outcome == ("queued", "")
    assert accepted.used == 1
    accepted.house.clock.advance(2 * SECONDS)
    assert accepted.house.work() == [ReplyState.DONE]
    assert accepted.outcome == ("bot", "echo: hi")
    assert accepted.used == 1


def test_the_wait_doubles_and_the_last_attempt_is_the_last():
    accepted = AcceptedMessage()
    accepted.house.model.will(*[AnswerFailed(BUSY)] * 3)
    assert accepted.house.work() == [ReplyState.QUEUED]
    accepted.house.clock.advance(2 * SECONDS - timedelta(microseconds=1))
    assert accepted.house.work() == []
    accepted.house.clock.advance(timedelta(microseconds=1))
    assert accepted.house.work() == [ReplyState.QUEUED]
    accepted.house.clock.advance(3 * SECONDS)
    assert accepted.house.work() == []
    accepted.house.clock.advance(SECONDS)
    assert accepted.house.work() == [ReplyState.FAILED]
    assert accepted.outcome == ("failed", "model_busy")
    assert accepted.used == 0
    assert len(accepted.house.model.prompts) == 3


def test_the_providers_own_wish_is_waited_for():
    accepted = AcceptedMessage()
    accepted.house.model.will(AnswerFailed(BUSY, retry_after=30 * SECONDS))
    accepted.house.work()
    accepted.house.clock.advance(29 * SECONDS)
    assert accepted.house.work() == []
    accepted.house.clock.advance(SECONDS)
    assert accepted.house.work() == [ReplyState.DONE]


def test_a_wait_past_the_deadline_is_a_failure_now():
    accepted = AcceptedMessage()
    accepted.house.model.will(AnswerFailed(BUSY, retry_after=300 * SECONDS))
    assert accepted.house.work() == [ReplyState.FAILED]
    assert accepted.outcome == ("failed", "model_busy")
    assert accepted.used == 0


def test_a_message_that_no_worker_claimed_fails_at_its_deadline():
    accepted = AcceptedMessage()
    accepted.house.clock.advance(300 * SECONDS - timedelta(microseconds=1))
    assert accepted.house.sweep() == 0
    accepted.house.clock.advance(timedelta(microseconds=1))
    assert accepted.house.claim() == []
    assert accepted.house.sweep() == 1
    assert accepted.outcome == ("failed", "deadline_exceeded")
    assert accepted.used == 0
    assert accepted.house.sweep() == 0
    assert accepted.used == 0


def test_a_failed_message_gives_its_prompt_back_to_the_day_that_paid():
    accepted = AcceptedMessage(replace(POLICY, deadline=timedelta(days=1)))
    accepted.house.clock.advance(timedelta(hours=23))
    accepted.house.say(accepted.asha, accepted.house.room(accepted.asha), "of the next day")
    accepted.house.model.will(AnswerFailed(FailureReason.REFUSED))
    assert accepted.house.work() == [ReplyState.FAILED, ReplyState.DONE]
    assert sorted(accepted.house.database.tables.daily_usage.values()) == [0, 1]
    assert accepted.used == 1


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
    accepted = AcceptedMessage()
    accepted.house.model.will(*[AnswerFailed(reason, retry_after=10 * SECONDS, asked=False)] * 5)
    for _ in range(5):
        assert accepted.house.work() == [ReplyState.QUEUED]
        assert accepted.house.reply(accepted.sent).attempt == 0
        accepted.house.clock.advance(10 * SECONDS - timedelta(microseconds=1))
        assert accepted.house.work() == []
        accepted.house.clock.advance(timedelta(microseconds=1))
    assert accepted.house.work() == [ReplyState.DONE]
    assert accepted.house.reply(accepted.sent).attempt == 1
    assert accepted.used == 1


def test_nor_does_the_wait_for_it_double():
    accepted = AcceptedMessage()
    accepted.house.model.will(*[AnswerFailed(BUSY, asked=False)] * 3)
    for _ in range(3):
        assert accepted.house.work() == [ReplyState.QUEUED]
        accepted.house.clock.advance(2 * SECONDS)
    assert accepted.house.work() == [ReplyState.DONE]


def test_a_provider_that_stays_down_is_waited_for_until_the_deadline_and_no_longer():
    accepted = AcceptedMessage()
    accepted.house.model.will(*[AnswerFailed(BUSY, retry_after=100 * SECONDS, asked=False)] * 3)
    for state in (ReplyState.QUEUED, ReplyState.QUEUED, ReplyState.FAILED):
        assert accepted.house.work() == [state]
        accepted.house.clock.advance(100 * SECONDS)
    assert accepted.outcome == ("failed", "model_busy")
    assert accepted.used == 0


# --- The database goes down before the outcome is stored ---


@pytest.mark.parametrize(
    ("outcome", "state", "used"),
    [
        (Answer("hello", "scripted"), ReplyState.DONE, 1),
        (AnswerFailed(BUSY), ReplyState.QUEUED, 1),
        (AnswerFailed(FailureReason.REFUSED), ReplyState.FAILED, 0),
        (Stopped("hel"), ReplyState.CANCELLED, 1),
        (Stopped(""), ReplyState.CANCELLED, 0),
    ],
)
def test_an_outcome_is_stored_once_however_often_that_is_tried(outcome: Outcome, state: ReplyState, used: int):
    accepted = AcceptedMessage()
    claimed = accepted.house.claim_one()
    store = accepted.house.replying.store_outcome
    accepted.house.database_probe.on = False
    for _ in range(2):
        with pytest.raises(DependencyDown):
            store(claimed, outcome)
    accepted.house.database_probe.on = True
    assert accepted.house.reply(accepted.sent).state is ReplyState.RUNNING
    assert not accepted.house.stream.published(accepted.sent.reply_id)  # what is not stored is not published
    assert store(claimed, outcome) is state
    row = accepted.house.reply(accepted.sent)
    # The commit came through, and only its acknowledgement was lost.
    assert store(claimed, outcome) is None
    assert accepted.house.reply(accepted.sent) == row
    assert (row.state, accepted.used) == (state, used)


def test_listeners_are_told_of_the_end_when_it_is_stored():
    accepted = AcceptedMessage()
    accepted.house.model.will(AnswerFailed(BUSY))
    accepted.house.work()
    assert not any(chunk.final for chunk in accepted.house.stream.published(accepted.sent.reply_id))
    accepted.house.clock.advance(2 * SECONDS)
    accepted.house.work()
    final = accepted.house.stream.published(accepted.sent.reply_id)[-1]
    assert (final.final, final.end) == (True, (2, len("echo: hi")))


# --- Workers die, stop and come back ---


def test_the_reply_of_a_worker_that_died_goes_to_another_when_its_lease_runs_out():
    accepted = AcceptedMessage()
    accepted.house.claim_one()
    accepted.house.clock.advance(60 * SECONDS - timedelta(microseconds=1))
    assert accepted.house.work() == []
    accepted.house.clock.advance(timedelta(microseconds=1))
    assert accepted.house.sweep() == 0
    assert accepted.house.claim_one().attempt == 2


def test_a_message_that_kills_its_worker_is_tried_three_times_and_costs_nothing():
    accepted = AcceptedMessage()
    for attempt in (1, 2, 3):
        assert accepted.house.claim_one().attempt == attempt
        accepted.house.clock.advance(60 * SECONDS)
    assert accepted.house.claim() == []
    assert accepted.house.sweep() == 1
    assert accepted.outcome == ("failed", "attempts_exhausted")
    assert accepted.used == 0
    assert accepted.house.model.prompts == []


def test_an_unexpected_error_counts_as_a_death():
    accepted = AcceptedMessage()
    accepted.house.model.will(RuntimeError("a bug"))
    claimed = accepted.house.claim_one()
    with pytest.raises(RuntimeError):
        accepted.house.write(claimed)
    assert accepted.outcome == ("running", "")
    accepted.house.clock.advance(60 * SECONDS)
    assert accepted.house.work() == [ReplyState.DONE]
    assert accepted.used == 1


@pytest.mark.parametrize(
    "too_late", [Answer("too late", "zombie"), AnswerFailed(BUSY), AnswerFailed(FailureReason.REFUSED)]
)
def test_a_worker_that_was_thought_dead_writes_nothing(too_late: Answer | AnswerFailed):
    accepted = AcceptedMessage()
    zombie = accepted.house.claim_one()
    accepted.house.clock.advance(60 * SECONDS)
    heir = accepted.house.claim_one()
    accepted.house.model.will(too_late)
    assert accepted.house.write(zombie) is None
    assert accepted.outcome == ("running", "")
    assert accepted.house.write(heir) is ReplyState.DONE
    accepted.house.model.will(too_late)
    assert accepted.house.write(zombie) is None
    assert accepted.outcome == ("bot", "echo: hi")
    assert accepted.used == 1


def test_nor_does_it_undo_or_refund_again_what_the_sweeper_failed():
    accepted = AcceptedMessage()
    zombie = accepted.house.claim_one()
    accepted.house.clock.advance(300 * SECONDS)
    assert accepted.house.sweep() == 1
    accepted.house.say(accepted.asha, accepted.house.room(accepted.asha), "another")
    for late in (AnswerFailed(FailureReason.REFUSED), Answer("too late", "zombie")):
        accepted.house.model.will(late)
        assert accepted.house.write(zombie) is None
    assert accepted.outcome == ("failed", "deadline_exceeded")
    assert accepted.used == 1  # the other message


def test_a_slow_worker_may_still_finish_what_was_not_claimed_again():
    accepted = AcceptedMessage()
    claimed = accepted.house.claim_one()
    accepted.house.clock.advance(61 * SECONDS)
    assert accepted.house.write(claimed) is ReplyState.DONE


def test_handing_back_does_not_count_as_an_attempt():
    accepted = AcceptedMessage()
    for _ in range(5):
        claimed = accepted.house.claim_one()
        assert claimed.attempt == 1
        accepted.house.replying.release(claimed)
    assert accepted.outcome == ("queued", "")
    assert accepted.house.work() == [ReplyState.DONE]


def test_who_has_handed_back_writes_nothing_and_hands_nothing_else_back():
    accepted = AcceptedMessage()
    stopped = accepted.house.claim_one()
    accepted.house.replying.release(stopped)
    assert accepted.house.write(stopped) is None
    heir = accepted.house.claim_one()
    accepted.house.replying.release(stopped)
    assert accepted.outcome == ("running", "")
    assert accepted.house.write(heir) is ReplyState.DONE


# --- Order and fairness ---


def test_one_room_is_answered_in_order_one_at_a_time():
    accepted = AcceptedMessage()
    accepted.house.say(accepted.asha, accepted.room, "and then")
    first = accepted.house.claim_one()
    assert first.prompt == "hi"
    assert accepted.house.claim() == []
    accepted.house.write(first)
    assert accepted.house.claim_one().prompt == "and then"


def test_a_reply_that_waits_for_its_next_attempt_holds_up_its_room_only():
    accepted = AcceptedMessage()
    accepted.house.say(accepted.asha, accepted.room, "and then")
    elsewhere = accepted.house.room(accepted.asha)
    accepted.house.say(accepted.asha, elsewhere, "elsewhere")
    accepted.house.model.will(AnswerFailed(BUSY))
    assert accepted.house.work() == [ReplyState.QUEUED, ReplyState.DONE]
    assert accepted.house.conversation(accepted.asha, elsewhere) == [("user", "elsewhere"), ("bot", "echo: elsewhere")]
    accepted.house.clock.advance(2 * SECONDS)
    assert accepted.house.work() == [ReplyState.DONE, ReplyState.DONE]
    assert accepted.prompts == ["hi", "elsewhere", "hi", "and then"]


def test_after_a_failure_the_room_goes_on():
    accepted = AcceptedMessage()
    accepted.house.say(accepted.asha, accepted.room, "and then")
    accepted.house.model.will(AnswerFailed(FailureReason.REFUSED))
    assert accepted.house.work() == [ReplyState.FAILED, ReplyState.DONE]
    assert accepted.house.conversation(accepted.asha, accepted.room) == [
        ("user", "hi"),
        ("failed", "refused"),
        ("user", "and then"),
        ("bot", "echo: and then"),
    ]


def test_no_more_are_taken_than_were_asked_for_and_the_oldest_first():
    accepted = AcceptedMessage()
    ravi = accepted.house.user(RAVI)
    accepted.house.say(ravi, accepted.house.room(ravi), "me too")
    [first] = accepted.house.claim(limit=1)
    [second] = accepted.house.claim(limit=1)
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
    accepted = AcceptedMessage()

    class ThinkingModel:
        def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
            # In another thread: this one could enter its own transaction again.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(accepted.house.say, accepted.asha, accepted.room, "are you there?").result(timeout=10)
            return Answer("I was thinking.", "slow")

    ask_model = replace(accepted.house.replying.ask_model, language_model=ThinkingModel())
    accepted.house.replying = replace(accepted.house.replying, ask_model=ask_model)
    assert accepted.house.write(accepted.house.claim_one()) is ReplyState.DONE
    assert accepted.house.conversation(accepted.asha, accepted.room) == [
        ("user", "hi"),
        ("bot", "I was thinking."),
        ("user", "are you there?"),
        ("queued", ""),
    ]


def test_the_model_gets_less_time_than_the_lease_and_no_more_than_is_left():
    given = []

    class HurriedModel:
        def write(self, prompt: Prompt, *, within: timedelta, stop: Stop, on_chunk: Callable[[str], None]) -> Answer:
            given.append(within)
            return Answer("quick", "hurried")

    def ask(accepted: AcceptedMessage, reply: ClaimedReply) -> None:
        replace(accepted.house.replying.ask_model, language_model=HurriedModel())(reply, stop=Stop())

    for waited in (0, 280):
        accepted = AcceptedMessage()
        accepted.house.clock.advance(waited * SECONDS)
        ask(accepted, accepted.house.claim_one())
    assert given == [48 * SECONDS, 20 * SECONDS]
