"""The promise of the plans, on the real stack: what is allowed is accepted, and not one more."""

from datetime import UTC

import pytest

from application.chat.send_message import SentMessage
from application.use_cases import UseCases
from domain.errors import QuotaExhausted
from tests.concurrency import at_once
from tests.integration.people import new_user


@pytest.mark.parametrize("rooms", [1, 50])
def test_of_fifty_parallel_prompts_of_a_basic_user_five_are_accepted(use_cases: UseCases, rooms: int) -> None:
    user_id = new_user(use_cases)
    chatrooms = [
        use_cases.chat.open_chatroom(user_id=user_id, name=f"room {number}").chatroom.id for number in range(rooms)
    ]

    def send(number: int) -> SentMessage:
        return use_cases.chat.send_message(
            sender=user_id, chatroom_id=chatrooms[number % rooms], text=f"prompt {number}"
        )

    outcomes = at_once(lambda number=number: send(number) for number in range(50))  # type: ignore[misc]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, SentMessage)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, QuotaExhausted)]
    assert (len(accepted), len(refused)) == (5, 45)
    assert sorted(sent.quota.used for sent in accepted) == [1, 2, 3, 4, 5]
    assert {(refusal.limit, refusal.used) for refusal in refused} == {(5, 5)}
    assert {refusal.resets_at.astimezone(UTC).time().isoformat() for refusal in refused} == {"00:00:00"}

    # What was refused left nothing behind, and what was accepted is there.
    turns = [
        turn
        for chatroom_id in chatrooms
        for turn in use_cases.chat.read_chatroom(user_id=user_id, chatroom_id=chatroom_id).turns
    ]
    assert {turn.message_id for turn in turns} == {sent.message.id for sent in accepted}
    assert {turn.reply_id for turn in turns} == {sent.reply_id for sent in accepted}
    profile = use_cases.auth.show_profile(user_id=user_id)
    assert profile is not None
    assert profile.quota.used == 5


def test_two_users_do_not_use_up_each_others_prompts(use_cases: UseCases) -> None:
    users = [new_user(use_cases) for _ in range(4)]
    rooms = {user_id: use_cases.chat.open_chatroom(user_id=user_id, name="room").chatroom.id for user_id in users}

    def send(number: int) -> SentMessage:
        user_id = users[number % 4]
        return use_cases.chat.send_message(sender=user_id, chatroom_id=rooms[user_id], text="prompt")

    outcomes = at_once(lambda number=number: send(number) for number in range(40))  # type: ignore[misc]
    for user_id in users:
        accepted = [sent for sent in outcomes if isinstance(sent, SentMessage) and sent.message.user_id == user_id]
        assert len(accepted) == 5
