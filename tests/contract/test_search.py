"""The contract of searching: what is found is one's own, and all of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.memory.search import MemorySearch, MemorySearchIndex
from adapters.sql import search as sql_search
from adapters.sql.search import SqlSearch, SqlSearchIndex
from application.ports.search import FoundPage, Search, Searchable, SearchIndex
from domain.accounts import User, UserId
from domain.chat import Chatroom, MessageId
from domain.errors import SearchTooBroad
from domain.replies import Answer, ReplyId
from domain.search import SearchQuery, terms_in
from tests.contract.world import MOMENT, MemoryWorld, SqlWorld, World, a_message, a_reply, shown

TEXTS = [
    ("tide", "Why are there two tides a day?"),
    ("हिन्दी", "यह हिन्दी में है"),
    ("京都", "東京から京都まで"),
    ("สวัสดี", "สวัสดีครับ"),
    ("🚀", "an 👩🏽‍🚀 flies"),
    ("drop", "'; DROP TABLE messages; -- %s %(id)s \\ : & | ! <-> * '' \\'"),
    ("x" * 60, "x" * 16_000),
    ("\ufffd", "\ufffd\U0010ffff"),
]
OLD = UUID("01800000-0000-7000-8000-000000000000")


class SearchContract:
    def index_all(self, index: SearchIndex) -> int:
        """Makes everything searchable, three at a time; how many entries that were."""
        count = 0
        while missing := index.unsearchable(limit=3):
            count += len(missing)
            index.add([Searchable(one.id, one.is_reply, one.owner, terms_in(one.content)) for one in missing])
        return count

    def found(self, search: Search, user: User, text: str, *, limit: int = 10) -> FoundPage:
        return search.entries(user.id, SearchQuery.of(text), limit=limit, before=None)

    def ids(self, search: Search, user: User, text: str) -> list[MessageId | ReplyId]:
        return [entry.id for entry in self.found(search, user, text).entries]

    @pytest.mark.parametrize(("query", "text"), TEXTS, ids=shown)
    def test_messages_and_replies_are_found_by_their_words(
        self, world: World, search: Search, index: SearchIndex, query: str, text: str
    ) -> None:
        user = world.user()
        room = world.room(user, name="Physics 🌈")
        asked = world.ask(room, text)
        assert world.finish(world.claim_one().claim, Answer(text, "scripted"))
        world.ask(room, "Something else")
        assert self.index_all(index) == 3
        reply, message = self.found(search, user, query).entries
        assert (message.id, message.is_reply, message.chatroom_id) == (asked.message_id, False, room.id)
        assert (reply.id, reply.is_reply, reply.chatroom_id) == (asked.id, True, room.id)
        assert {one.content for one in (message, reply)} == {text[:8_000]}
        assert {one.chatroom_name for one in (message, reply)} == {"Physics 🌈"}
        assert {one.created_at for one in (message, reply)} == {MOMENT}

    def test_all_words_are_needed_and_longer_words_will_do(
        self, world: World, search: Search, index: SearchIndex
    ) -> None:
        user = world.user()
        room = world.room(user)
        both, one = world.ask(room, "Tides and moons"), world.ask(room, "Tides and a sun")
        self.index_all(index)
        assert self.ids(search, user, "tide") == [one.message_id, both.message_id]
        assert self.ids(search, user, "MOON tide") == [both.message_id]
        assert self.ids(search, user, "a") == [one.message_id]
        assert self.ids(search, user, "ide") == []

    def test_texts_of_others_are_never_found(self, world: World, search: Search, index: SearchIndex) -> None:
        # Ids that end in the same way have the same prefix in the index.
        user = world.user()
        twin = world.user(id=UserId(UUID(int=user.id.int ^ (1 << 40))))
        hers, theirs = world.ask(world.room(user), "secret tide"), world.ask(world.room(twin), "secret tide")
        world.ask(world.room(), "secret tide")
        self.index_all(index)
        assert self.ids(search, user, "secret") == [hers.message_id]
        assert self.ids(search, twin, "secret") == [theirs.message_id]
        assert self.ids(search, world.user(), "secret") == []
        assert search.chatrooms(world.user().id, limit=5) == []

    def test_what_is_removed_is_not_found(self, world: World, search: Search, index: SearchIndex) -> None:
        user = world.user()
        rooms: list[Chatroom] = [world.room(user) for _ in range(2)]
        kept = [world.ask(room, "tide") for room in rooms][1]
        self.index_all(index)
        world.ask(rooms[0], "tide")
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(rooms[0].id, by=user.id), limit=1)
            work.commit()
        self.index_all(index)
        assert self.ids(search, user, "tide") == [kept.message_id]
        with world.unit_of_work() as work:
            work.erasure.erase(user.id, phone_digest="digest", leave_messages=True)
            work.commit()
        assert self.ids(search, user, "tide") == []
        assert index.unsearchable(limit=5) == []

    def test_a_reply_is_found_once_it_has_ended(self, world: World, search: Search, index: SearchIndex) -> None:
        user = world.user()
        room = world.room(user)
        done, stopped, failed = (world.ask(room, "Why?") for _ in range(3))
        world.finish(world.claim_one().claim, Answer("tide", "scripted"))
        claim = world.claim_one().claim
        self.index_all(index)
        assert self.ids(search, user, "tide") == [done.id]
        world.stop(claim, "tide so far")
        world.fail(world.claim_one().claim)
        self.index_all(index)
        assert self.ids(search, user, "tide") == [stopped.id, done.id]
        assert failed.id not in self.ids(search, user, "why")

    def test_pages_follow_each_other_newest_first(self, world: World, search: Search, index: SearchIndex) -> None:
        user = world.user()
        rooms = [world.room(user), world.room(user, archived_at=MOMENT)]
        asked = [world.ask(rooms[number % 2], f"tide {number}").message_id for number in range(5)]
        world.answer_all()
        self.index_all(index)
        ids: list[MessageId | ReplyId] = []
        before = None
        while True:
            page = search.entries(user.id, SearchQuery.of("tide"), limit=2, before=before)
            ids += [entry.id for entry in page.entries]
            before = page.next_before
            if before is None:
                break
        assert ids == asked[::-1]

    def test_what_is_added_while_paging_moves_nothing(self, world: World, search: Search, index: SearchIndex) -> None:
        user = world.user()
        room = world.room(user)
        asked = [world.ask(room, "tide").message_id for _ in range(3)]
        self.index_all(index)
        first = self.found(search, user, "tide", limit=2)
        world.ask(room, "tide")
        self.index_all(index)
        second = search.entries(user.id, SearchQuery.of("tide"), limit=2, before=first.next_before)
        assert [entry.id for entry in second.entries] == [asked[0]]

    def test_what_is_not_searchable_yet_is_missing_and_said_to_be(
        self, world: World, search: Search, index: SearchIndex
    ) -> None:
        user = world.user()
        room = world.room(user)
        fresh = world.ask(room, "tide")
        assert self.found(search, user, "tide") == FoundPage([], None, complete=self.fresh_is_settled)
        self.index_all(index)
        assert self.found(search, user, "tide").complete
        old = replace(a_message(room, "tide"), id=MessageId(OLD))
        with world.unit_of_work() as work:
            work.messages.add(old)
            work.replies.add(a_reply(old, world.today()))
            work.commit()
        incomplete = self.found(search, user, "tide")
        assert ([entry.id for entry in incomplete.entries], incomplete.complete) == ([fresh.message_id], False)
        self.index_all(index)
        assert self.ids(search, user, "tide") == [fresh.message_id, old.id]
        assert self.found(search, user, "tide").complete

    # In memory, messages of the tests' moment are old.
    fresh_is_settled = True

    def test_the_newest_become_searchable_first_each_once(self, world: World, index: SearchIndex) -> None:
        room = world.room()
        asked = [world.ask(room, str(number)).message_id for number in range(20)]
        first = index.unsearchable(limit=2)
        assert len({one.id for one in first} & set(asked[4:])) == 2
        assert {(one.owner, one.is_reply) for one in first} == {(room.user_id, False)}
        index.add([Searchable(one.id, one.is_reply, one.owner, ["x"]) for one in first])
        left = index.unsearchable(limit=20)
        assert sorted(one.id for one in left) == sorted(set(asked) - {one.id for one in first})
        index.add([])
        index.add([Searchable(MessageId(OLD), False, room.user_id, ["x"])])

    def test_chatrooms_newest_first_and_archived_ones_too(self, world: World, search: Search) -> None:
        user = world.user()
        rooms = [world.room(user), world.room(user, archived_at=MOMENT), world.room(user, pinned_at=MOMENT)]
        found = search.chatrooms(user.id, limit=2)
        assert [(one.id, one.pinned, one.archived) for one in found] == [
            (rooms[2].id, True, False),
            (rooms[1].id, False, True),
        ]


class TestMemorySearch(SearchContract):
    fresh_is_settled = False

    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> MemoryWorld:
        return memory_world

    @pytest.fixture
    def search(self, memory_world: MemoryWorld) -> Search:
        return MemorySearch(memory_world._database)

    @pytest.fixture
    def index(self, memory_world: MemoryWorld) -> SearchIndex:
        return MemorySearchIndex(memory_world._database)


class TestSqlSearch(SearchContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> SqlWorld:
        return real_world

    @pytest.fixture
    def search(self, real_world: SqlWorld) -> Search:
        return SqlSearch(real_world.database)

    @pytest.fixture
    def index(self, real_world: SqlWorld) -> SearchIndex:
        return SqlSearchIndex(real_world.database)

    @pytest.fixture
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Searches that take longer than they may."""
        monkeypatch.setattr(sql_search, "BOUNDED", sql_search.BOUNDED.replace("'2s'", "'50ms'"))
        monkeypatch.setattr(sql_search, "ENTRIES", "SELECT pg_sleep(5), %(words)s")
        return iter([None])

    @pytest.mark.usefixtures("slow")
    def test_a_search_that_takes_too_long_ends_and_leaves_a_good_connection(
        self, real_world: SqlWorld, search: Search
    ) -> None:
        user = real_world.user()
        for _ in range(3):
            with pytest.raises(SearchTooBroad):
                self.found(search, user, "tide")
        assert real_world.database.outage.errors == 0
        assert search.chatrooms(user.id, limit=1) == []
        assert real_world._rows("SHOW statement_timeout") == [("5s",)]

    def test_workers_share_what_is_not_searchable_yet(self, real_world: SqlWorld, index: SearchIndex) -> None:
        room = real_world.room()
        for _ in range(8):
            real_world.ask(room, "tide")
        # That all thirty are the same one has a probability of less than one in ten to the 25.
        assert len({one.id for _ in range(30) for one in index.unsearchable(limit=1)}) > 1

    def test_what_another_transaction_holds_is_passed_over(self, real_world: SqlWorld, index: SearchIndex) -> None:
        asked = [real_world.ask(real_world.room(), "tide") for _ in range(2)]
        with real_world.unit_of_work() as work:
            assert work.messages.of(asked[0].user_id, asked[0].message_id) is not None
            entries = [Searchable(one.id, one.is_reply, one.owner, ["tide"]) for one in index.unsearchable(limit=5)]
            index.add(entries)
            assert [one.id for one in index.unsearchable(limit=5)] == [asked[0].message_id]

    def test_a_reply_of_which_the_end_is_old_is_missed(self, real_world: SqlWorld, search: Search) -> None:
        user = real_world.user()
        message = a_message(real_world.room(user))
        reply = replace(a_reply(message, real_world.today()), id=ReplyId(OLD))
        with real_world.unit_of_work() as work:
            work.messages.add(message)
            work.replies.add(reply)
            work.commit()
        real_world.finish(real_world.claim_one().claim)
        assert self.found(search, user, "tide").complete
        real_world.pass_time(timedelta(minutes=2))
        assert not self.found(search, user, "tide").complete
