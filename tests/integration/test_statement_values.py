"""What people write and their numbers never show in an error of the database."""

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from adapters.sql.database import StatementFailed
from domain.accounts import PhoneNumber
from domain.chat import ChatroomId
from domain.errors import ChatroomNotFound, DependencyDown, TokenInvalid
from domain.feedback import Feedback, Rating
from domain.replies import Answer
from tests.contract.world import MAX_CHATROOMS, POLICY, SqlWorld, a_message, a_room, a_user, new_id, sql_world

PHONE = PhoneNumber("+919812345678")
SECRET = "my darkest secret"
BAD: Any = None


@pytest.fixture
def world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


def add_user_twice(world: SqlWorld) -> None:
    user = world.user()
    world.user(id=user.id, phone=PHONE, name=SECRET)


def add_user_without_a_date(world: SqlWorld) -> None:
    world.user(phone=PHONE, name=SECRET, created_at=BAD)


def add_room_without_a_name(world: SqlWorld) -> None:
    world.room(name=BAD, system_prompt=SECRET)


def add_message_twice(world: SqlWorld) -> None:
    message = a_message(world.room(), SECRET)
    with world.unit_of_work() as work:
        work.messages.add(message)
        work.messages.add(message)


def finish_without_an_answer(world: SqlWorld) -> None:
    world.ask(world.room(), SECRET)
    with world.unit_of_work() as work:
        (claimed,) = work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)
        work.replies.finish(claimed.claim, Answer(BAD, SECRET))


def answer_with_too_many_tokens(world: SqlWorld) -> None:
    world.ask(world.room())
    with world.unit_of_work() as work:
        (claimed,) = work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)
        work.replies.finish(claimed.claim, Answer(SECRET, "m", input_tokens=2**70))


def rate_without_a_date(world: SqlWorld) -> None:
    reply = world.ask(world.room())
    world.answer_all()
    feedback = Feedback(Rating.DOWN, (), SECRET, BAD)
    world.feedback.put(reply.user_id, reply.id, feedback)


def write_after_an_error(world: SqlWorld) -> None:
    with world.unit_of_work() as work:
        cursor = cast("Any", work).users._cursor
        with pytest.raises(Exception, match="does not exist"):
            cursor.execute("SELECT nonsense")
        work.users.add(a_user(phone=PHONE, name=SECRET))


def test_a_room_of_an_unknown_user_is_refused_without_its_name(world: SqlWorld) -> None:
    with pytest.raises(TokenInvalid) as refused, world.unit_of_work() as work:
        work.chatrooms.add(a_room(a_user(phone=PHONE), name=SECRET), limit=MAX_CHATROOMS)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "statement",
    [
        add_user_twice,
        add_user_without_a_date,
        add_room_without_a_name,
        add_message_twice,
        finish_without_an_answer,
        answer_with_too_many_tokens,
        rate_without_a_date,
        write_after_an_error,
    ],
)
def test_a_refused_statement_tells_no_value(
    world: SqlWorld, statement: Callable[[SqlWorld], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StatementFailed) as refusal:
        statement(world)
    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value) + caplog.text
    for value in (PHONE.e164, PHONE.e164[3:], SECRET):
        assert value not in told
    assert refusal.value.args


def test_it_says_which_rule_was_broken(world: SqlWorld) -> None:
    with pytest.raises(StatementFailed, match="UniqueViolation 23505 pk_users"):
        add_user_twice(world)


def test_a_message_without_its_room_tells_no_text(world: SqlWorld) -> None:
    nowhere = replace(a_room(world.user()), id=ChatroomId(new_id()))
    with pytest.raises(ChatroomNotFound) as refusal, world.unit_of_work() as work:
        work.messages.add(a_message(nowhere, SECRET))
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_a_lost_connection_tells_no_value(world: SqlWorld) -> None:
    def statement() -> None:
        with world.unit_of_work() as work:
            world.break_commit(work)
            work.users.add(a_user(phone=PHONE, name=SECRET))

    with pytest.raises(DependencyDown) as down:
        statement()
    told = "".join(traceback.format_exception(down.value)) + repr(down.value.facts())
    assert PHONE.e164 not in told
    assert SECRET not in told
