"""An account is erased while its user goes on: both end, neither as the victim of a deadlock (503)."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import pytest

from adapters.memory.stores import MemoryReplyStream
from application.auth.logout import Scope
from application.auth.sessions import LoggedIn
from application.chat.chatrooms import RemoveChatroom
from application.chat.expiry import FailExpiredReplies
from application.ports.erasure import Erased
from application.use_cases import UseCases
from domain.accounts import Origin, Principal, UserId
from domain.billing import Concern, CustomerId, InboxState, PaymentEvent, RetryEvents
from domain.chat import Chatroom, ChatroomId, MessageId
from domain.errors import DependencyDown, DomainError, TokenInvalid
from domain.replies import QueuedReply, ReplyId
from tests.concurrency import eventually, together
from tests.contract.world import A_DEADLINE, ALLOWANCES, MOMENT, POLICY, SqlWorld, a_message, new_id, sql_world
from tests.integration.conftest import BuildUseCases
from tests.integration.people import a_mobile_number, log_in

DEVICES, ROUNDS, USERS = 6, 60, 8
BATCH = 3
# No limit refuses what is to meet the erasure.
NO_LIMITS = {"BASIC_DAILY_PROMPTS": "100000", "USER_BACKLOG_REPLIES": "100000", "OTP_DAILY_PER_NUMBER": "1000"}


@pytest.fixture
def world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


@dataclass(frozen=True, slots=True)
class Device:
    """One of a user's, and what it knows of."""

    use_cases: UseCases
    logged_in: LoggedIn
    principal: Principal
    rooms: list[ChatroomId]
    messages: list[MessageId]
    chance: random.Random

    @property
    def user_id(self) -> UserId:
        return self.logged_in.user.id

    def open(self) -> None:
        self.rooms.append(self.use_cases.chat.open_chatroom(user_id=self.user_id).chatroom.id)

    def send(self) -> None:
        key = self.chance.choice([None, f"{self.chance.random()}"])
        room = self.chance.choice(self.rooms)
        send = self.use_cases.chat.send_message
        self.messages.append(send(sender=self.user_id, chatroom_id=room, text="Why?", idempotency_key=key).message.id)

    def cancel(self) -> None:
        self.use_cases.chat.cancel_reply(user_id=self.user_id, entry_id=self.chance.choice(self.messages))

    def ask_again(self) -> None:
        self.use_cases.chat.ask_again.retry(user_id=self.user_id, entry_id=self.chance.choice(self.messages))

    def rename(self) -> None:
        room = self.chance.choice(self.rooms)
        self.use_cases.chat.change_chatroom(user_id=self.user_id, chatroom_id=room, name=f"{self.chance.random()}")

    def remove(self) -> None:
        room = self.chance.choice(self.rooms)
        self.use_cases.chat.remove_chatroom(user_id=self.user_id, chatroom_id=room)

    def refresh(self) -> None:
        self.use_cases.auth.refresh_session(refresh_token=self.logged_in.refresh_token)

    def change_profile(self) -> None:
        self.use_cases.auth.change_profile(principal=self.principal, name=f"{self.chance.random()}")

    def log_out_others(self) -> None:
        self.use_cases.auth.log_out(principal=self.principal, scope=Scope.OTHERS)

    def log_out_others_by_refresh_token(self) -> None:
        self.use_cases.auth.log_out.by_tokens(refresh_token=self.logged_in.refresh_token, scope=Scope.OTHERS)

    def live(self) -> None:
        """Does one thing after the other, until the account is gone."""
        actions = [self.open, self.send, self.send, self.cancel, self.ask_again, self.rename, self.remove]
        actions += [self.refresh, self.change_profile, self.log_out_others, self.log_out_others_by_refresh_token]
        for _ in range(ROUNDS):
            try:
                self.chance.choice(actions)()
            except DependencyDown:
                raise
            except TokenInvalid:
                return
            except DomainError:
                continue


def devices_of_a_user(use_cases: UseCases) -> list[Device]:
    number = a_mobile_number()
    # A number gets codes for each of its addresses.
    origins = [Origin(f"203.0.113.{device}", None) for device in range(DEVICES)]
    logins = [log_in(use_cases, number, origin) for origin in origins]
    devices = [
        Device(use_cases, one, use_cases.auth.authenticate(one.token), [], [], random.Random(seed))
        for seed, one in enumerate(logins)
    ]
    for device in devices:
        for _ in range(BATCH):
            device.open()
            device.send()
    return devices


@pytest.fixture
def use_cases(build_use_cases: BuildUseCases, clean_database: str, clean_redis: str) -> UseCases:
    return build_use_cases(clean_database, clean_redis, **NO_LIMITS)


def test_a_user_who_goes_on_on_every_device(use_cases: UseCases, world: SqlWorld) -> None:
    erase = replace(use_cases.auth.erase_account, batch=BATCH)
    for _ in range(USERS):
        devices = devices_of_a_user(use_cases)
        everybody: list[Callable[[], object]] = [device.live for device in devices]
        everybody.append(partial(erase, principal=devices[0].principal))
        together(everybody)
    assert world._rows("SELECT count(*)::int FROM users") == [(0,)]


def send(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work.autocommit() as work:
        work.acceptance.accept(a_message(room), ReplyId(new_id()), allowances=ALLOWANCES, policy=POLICY)


def ask_again(world: SqlWorld, room: Chatroom) -> None:
    [(asked,)] = world._rows("SELECT id FROM messages")
    with world.unit_of_work() as work:
        found = work.messages.of(room.user_id, MessageId(asked))
        assert found is not None
        quota = work.usage.spend(room.user_id, allowances=ALLOWANCES)
        work.replies.add(QueuedReply.to(found.message, id=ReplyId(new_id()), quota=quota, at=MOMENT, policy=POLICY))
        work.commit()


def settle_event(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        assert work.billing.inbox.settle(an_event(room), InboxState.DONE, user_id=room.user_id)
        work.commit()


def replace_customer(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        assert work.billing.customers.add(room.user_id, CustomerId("cus_new"), instead_of=CustomerId("cus_old"))
        work.commit()


def remove(world: SqlWorld, room: Chatroom) -> None:
    RemoveChatroom(world.unit_of_work, MemoryReplyStream())(user_id=room.user_id, chatroom_id=room.id)


def rename(world: SqlWorld, room: Chatroom) -> None:
    with world.unit_of_work() as work:
        owned = work.chatrooms.owned(room.id, by=room.user_id)
        work.chatrooms.change(replace(owned, name="Poems"))
        work.commit()


def fail_expired(world: SqlWorld, _room: Chatroom) -> None:
    assert len(FailExpiredReplies(world.unit_of_work, MemoryReplyStream(), POLICY)()) == 2


def an_event(room: Chatroom) -> PaymentEvent:
    return PaymentEvent("evt_1", "invoice.paid", MOMENT, Concern.SUBSCRIPTION, named_user=room.user_id)


@pytest.mark.parametrize(
    ("write", "held"),
    [
        (send, "daily_usage"),
        (ask_again, "daily_usage"),
        (settle_event, "payment_events"),
        (replace_customer, "customers"),
        (remove, "daily_usage"),
        (fail_expired, "daily_usage"),
        # The first change of a list adds its row.
        (rename, "chatrooms"),
    ],
)
def test_what_waits_in_the_middle_when_the_erasure_begins(
    world: SqlWorld, write: Callable[[SqlWorld, Chatroom], None], held: str
) -> None:
    """It holds what the erasure wants, and wants a row that refers to the user."""
    room = world.room()
    for _ in range(1 if write is ask_again else 2):
        send(world, room)
    if write is fail_expired:
        world.pass_time(A_DEADLINE)
    world._run("DELETE FROM chatroom_lists")
    with world.unit_of_work() as work:
        work.billing.inbox.postpone(an_event(room), failure="DependencyDown", retry=RetryEvents())
        work.billing.customers.add(room.user_id, CustomerId("cus_old"))
        work.commit()
    with world.database.transaction() as transaction, ThreadPoolExecutor(2) as threads:
        transaction.execute(f"SELECT 1 FROM {held} FOR UPDATE")
        writing = threads.submit(write, world, room)
        assert eventually(lambda: world.waiting_for("transactionid") == 1)
        erasing = threads.submit(erase, world, room.user_id)
        assert eventually(lambda: world.waiting_for("transactionid") + world.waiting_for("tuple") == 2)
        transaction.commit()
        writing.result(30)
        assert erasing.result(30).finished


def erase(world: SqlWorld, user_id: UserId) -> Erased:
    with world.unit_of_work() as work:
        erased = work.erasure.erase(user_id, phone_digest="")
        work.commit()
    return erased
