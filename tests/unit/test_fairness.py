"""Who is answered when there is more to do than can be done at once, and when no more is accepted."""

from collections import Counter, deque
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts import Principal
from domain.errors import BacklogFull, DomainError, TooManyUnfinishedReplies
from domain.replies import AnswerFailed, ClaimedReply, FailureReason, ReplyPolicy, ReplyState, Slots, basic_places
from tests.builders import ASHA, RAVI, House

SECONDS = timedelta(seconds=1)
MIRA = "+919876543212"

BUSY = AnswerFailed(FailureReason.MODEL_BUSY)


def open_house(**policy: int) -> House:
    """A house where the quota is no matter."""
    return House(basic_daily_prompts=1_000, reply_policy=ReplyPolicy(**policy))  # type: ignore[arg-type]


def flood(house: House, who: Principal, rooms: int, each: int = 1) -> None:
    """So many messages in each of so many rooms."""
    for number in range(rooms):
        room = house.room(who)
        for nth in range(each):
            house.say(who, room, f"{number}.{nth}")


def prompts(replies: list[ClaimedReply]) -> list[str]:
    """What is answered, in the order in which it was taken."""
    return [reply.prompt for reply in replies]


# --- One running reply per room, in order ---


def test_a_room_is_answered_one_at_a_time_in_order():
    house = open_house(user_concurrency=10)
    asha = house.user(ASHA)
    flood(house, asha, rooms=2, each=3)
    order = []
    while claimed := house.claim():
        assert len({reply.chatroom_id for reply in claimed}) == len(claimed)
        assert house.claim() == []
        order.append(sorted(prompts(claimed)))
        for reply in claimed:
            house.write(reply)
    assert order == [["0.0", "1.0"], ["0.1", "1.1"], ["0.2", "1.2"]]


def test_a_reply_whose_worker_died_keeps_its_place_in_its_room():
    house = open_house()
    asha = house.user(ASHA)
    flood(house, asha, rooms=1, each=2)
    house.claim_one()
    house.clock.advance(house.policy.lease)
    assert prompts(house.claim()) == ["0.0"]


# --- At most so many of a user ---


@pytest.mark.parametrize("allowed", [1, 2, 5])
def test_at_most_so_many_of_a_user_run_at_once(allowed: int):
    house = open_house(user_concurrency=allowed)
    asha = house.user(ASHA)
    flood(house, asha, rooms=8)
    claimed = house.claim()
    assert len(claimed) == allowed
    assert house.claim() == []
    house.write(claimed[0])
    assert len(house.claim()) == 1


def test_by_default_it_is_two():
    house = open_house()
    flood(house, house.user(ASHA), rooms=8)
    assert len(house.claim()) == 2


def test_what_waits_for_its_next_attempt_takes_no_place():
    house = open_house()
    asha = house.user(ASHA)
    flood(house, asha, rooms=4)
    house.model.will(BUSY, BUSY)
    for reply in house.claim():
        assert house.write(reply) is ReplyState.QUEUED
    assert prompts(house.claim()) == ["2.0", "3.0"]
    house.clock.advance(2 * SECONDS)
    assert house.claim() == []  # both places are taken


def test_a_dead_worker_takes_no_place_of_its_user():
    house = open_house()
    asha = house.user(ASHA)
    flood(house, asha, rooms=4)
    assert prompts(house.claim()) == ["0.0", "1.0"]
    house.clock.advance(house.policy.lease)
    assert len(house.claim()) == 2
    assert house.claim() == []


def test_a_user_who_floods_keeps_no_other_waiting():
    house = open_house(user_backlog=500)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    flood(house, asha, rooms=300)
    house.clock.advance(SECONDS)
    house.say(ravi, house.room(ravi), "and me?")
    assert prompts(house.claim(limit=3)) == ["0.0", "1.0", "and me?"]


def test_whatever_is_asked_for_it_is_shared():
    house = open_house()
    asha, ravi, mira = (house.user(phone) for phone in (ASHA, RAVI, MIRA))
    for who in (asha, ravi, mira):
        flood(house, who, rooms=5)
    claimed = house.claim(limit=5)
    owners = Counter(house.database.tables.replies[reply.claim.reply_id].queued.user_id for reply in claimed)
    assert owners == {asha.user_id: 2, ravi.user_id: 2, mira.user_id: 1}


@pytest.mark.parametrize(("slots", "places"), [(1, 1), (2, 1), (4, 1), (8, 2), (100, 2)])
def test_a_user_takes_no_more_than_a_quarter_of_a_workers_slots(slots: int, places: int):
    house = open_house()
    flood(house, house.user(ASHA), rooms=8)
    assert len(house.replying.claim(Slots(total=slots, free=slots))) == places


# --- Pro before Basic, only among what is due ---


def test_pro_goes_first():
    house = open_house()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.say(asha, house.room(asha), "basic")
    house.clock.advance(60 * SECONDS)
    house.subscribe(ravi)
    house.say(ravi, house.room(ravi), "pro")
    assert prompts(house.claim(limit=1)) == ["pro"]
    assert prompts(house.claim(limit=1)) == ["basic"]


def test_only_among_what_is_due():
    house = open_house()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.subscribe(ravi)
    house.say(ravi, house.room(ravi), "pro")
    house.model.will(BUSY)
    house.work()
    house.say(asha, house.room(asha), "basic")
    assert prompts(house.claim()) == ["basic"]
    house.clock.advance(2 * SECONDS)
    assert prompts(house.claim()) == ["pro"]


def test_pro_has_no_more_places_and_no_other_order_in_its_room():
    house = open_house()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room = house.room(asha)
    house.say(asha, room, "as basic")
    house.subscribe(asha)
    house.say(asha, room, "as pro")
    flood(house, asha, rooms=3)
    house.say(ravi, house.room(ravi), "basic")
    assert prompts(house.claim()) == ["0.0", "1.0", "basic"]


def test_the_plan_counts_from_the_moment_of_sending():
    house = open_house()
    asha, ravi = house.user(ASHA), house.user(RAVI)
    house.subscribe(ravi)
    house.say(ravi, house.room(ravi), "sent as pro")
    house.database.tables.subscriptions.clear()
    house.subscribe(asha)
    assert prompts(house.claim(limit=1)) == ["sent as pro"]


# --- Basic has its share, however much Pro asks for ---


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 5, 7, 100])
def test_a_fifth_of_the_slots_is_kept_for_basic_over_five_turns(slots: int):
    kept = [basic_places(slots, turn=turn) for turn in range(10)]
    assert sum(kept[:5]) == sum(kept[5:]) == slots
    assert max(kept) - min(kept) <= 1


class Worker:
    """A worker's slots, which are all taken while there is enough to do; each reply takes as long as the others."""

    def __init__(self, house: House, slots: int) -> None:
        self._house, self._slots, self._claims = house, slots, 0
        self.running: deque[ClaimedReply] = deque()

    def claim(self) -> list[ClaimedReply]:
        basic = sum(not reply.urgent for reply in self.running)
        free = self._slots - len(self.running)
        claimed = list(self._house.replying.claim(Slots(self._slots, free, basic, turn=self._claims)))
        self._claims += 1
        self.running += claimed
        return claimed

    def finish_one(self) -> ClaimedReply:
        reply = self.running.popleft()
        self._house.write(reply)
        return reply


def with_pro_and_basic(*, pro: int, basic: int) -> House:
    """So many of either who have three questions, of which Pro's were asked first."""
    house = open_house(user_concurrency=1)
    for number in range(pro + basic):
        who = house.user(f"+9198765{number:05d}")
        if number < pro:
            house.subscribe(who)
        flood(house, who, rooms=3)
    return house


@pytest.mark.parametrize("slots", [1, 3, 5, 10])
def test_while_pro_floods_basic_gets_a_fifth_or_a_little_more(slots: int):
    house = with_pro_and_basic(pro=20, basic=20)
    worker = Worker(house, slots)
    urgent = [reply.urgent for reply in worker.claim()]
    while len(urgent) < 50:
        worker.finish_one()
        urgent += [reply.urgent for reply in worker.claim()]
    assert 9 <= urgent.count(False) <= 15


def test_what_basic_does_not_want_is_pros():
    worker = Worker(with_pro_and_basic(pro=10, basic=0), 5)
    assert [reply.urgent for reply in worker.claim()] == [True] * 5


def test_without_pro_basic_has_it_all():
    worker = Worker(with_pro_and_basic(pro=0, basic=10), 5)
    assert [reply.urgent for reply in worker.claim()] == [False] * 5


def test_what_basic_has_taken_already_counts():
    house = with_pro_and_basic(pro=0, basic=3)
    worker = Worker(house, 10)
    assert len(worker.claim()) == 3
    pro = house.user(RAVI)
    house.subscribe(pro)
    for number in range(3, 6):
        who = house.user(f"+9198766{number:05d}")
        house.say(who, house.room(who), "more of Basic")
    house.say(pro, house.room(pro), "pro")
    assert prompts(list(house.replying.claim(Slots(10, free=1, basic=3)))) == ["pro"]


@given(
    rooms=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=8),
    limits=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    allowed=st.integers(1, 3),
)
def test_the_bounds_hold_whatever_is_sent_and_claimed(rooms: list[tuple[int, int]], limits: list[int], allowed: int):
    house = open_house(user_concurrency=allowed)
    people = [house.user(phone) for phone in (ASHA, RAVI, MIRA)]
    for nth, each in rooms:
        flood(house, people[nth], rooms=1, each=each)
    for limit in limits:
        assert len(house.claim(limit)) <= limit
        running = [row.queued for row in house.database.tables.replies.values() if row.state is ReplyState.RUNNING]
        assert max(Counter(reply.user_id for reply in running).values(), default=0) <= allowed
        assert max(Counter(reply.chatroom_id for reply in running).values(), default=0) <= 1
    # And no user is left out who could be served.
    house.claim()
    for who in people:
        mine = [row for row in house.database.tables.replies.values() if row.queued.user_id == who.user_id]
        open_rooms = {row.queued.chatroom_id for row in mine}
        assert sum(row.state is ReplyState.RUNNING for row in mine) == min(allowed, len(open_rooms))


# --- Full backlogs ---


def test_so_many_unfinished_replies_of_a_user_are_accepted_and_no_more():
    house = open_house(user_backlog=3)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room = house.room(asha)
    for _ in range(3):
        house.say(asha, room, "hi")
    running = house.claim_one()  # counts as much as what waits
    notified = house.worker_notifier.notified
    with pytest.raises(TooManyUnfinishedReplies) as refused:
        house.say(asha, house.room(asha), "one more")
    assert refused.value.facts() == {"limit": 3, "retry_after": 5}
    assert (len(house.database.tables.messages), house.used(asha), house.worker_notifier.notified) == (3, 3, notified)
    house.say(ravi, house.room(ravi), "it is nothing to me")
    house.write(running)
    house.say(asha, room, "one more")


def test_so_many_of_all_are_accepted_and_no_more():
    house = open_house(backlog=2)
    people = [house.user(phone) for phone in (ASHA, RAVI, MIRA)]
    for who in people[:2]:
        house.say(who, house.room(who), "hi")
    with pytest.raises(BacklogFull) as refused:
        house.say(people[2], house.room(people[2]), "hi")
    assert refused.value.facts() == {"retry_after": 10}
    assert house.used(people[2]) == 0
    house.work()
    house.say(people[2], house.room(people[2]), "hi")


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_whatever_has_ended_makes_room(end: str):
    house = open_house(user_backlog=1, backlog=1)
    asha = house.user(ASHA)
    room = house.room(asha)
    sent = house.say(asha, room, "hi")
    with pytest.raises(DomainError):
        house.say(asha, room, "hi")
    if end == "failed":
        house.model.will(AnswerFailed(FailureReason.REFUSED))
    if end == "cancelled":
        house.cancel(asha, sent.reply_id)
    house.work()
    assert house.reply(sent).state == end
    house.say(asha, room, "hi")
