"""Users watch a reply being written: whatever gets lost on the way, they end with what is stored."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.chat.follow_reply import (
    HEARTBEAT_SECONDS,
    Delta,
    Ended,
    FollowReply,
    Heartbeat,
    ReadEntry,
    Removed,
    Reset,
    StreamEvent,
)
from application.ports.language_model import Stop
from application.ports.reader import Entry
from application.ports.reply_stream import START, Chunk, Position
from domain.errors import DependencyDown, MessageNotFound
from domain.replies import Answer, AnswerFailed, FailureReason, ReplyId, ReplyState
from tests.builders import OneReply, events_of

TEXT = "Once upon a time"
PIECES = ["Once ", "upon", " a time"]


class FollowedReply(OneReply):
    @property
    def ended(self) -> Ended:
        """How it must end."""
        entry = self.house.entry(self.asha, self.sent.reply_id)
        return Ended(Position(entry.turn.generation, len(entry.turn.reply_content or "")), entry)

    def publish(self, generation: int, end: int, text: str) -> None:
        """A chunk of this generation that ends there."""
        self.house.stream.publish(self.sent.reply_id, Chunk(Position(generation, end), text))


def finished() -> FollowedReply:
    """A reply that is done."""
    reply = FollowedReply()
    reply.house.model.will(PIECES)
    assert reply.house.work() == [ReplyState.DONE]
    return reply


# --- While it is being written ---


def cancelled_in_the_queue(reply: FollowedReply) -> None:
    reply.house.cancel(reply.asha, reply.sent.reply_id)


def given_up_by_the_sweeper(reply: FollowedReply) -> None:
    reply.house.clock.advance(reply.house.policy.deadline)
    assert reply.house.sweep() == 1


def handed_back_while_it_was_to_be_stopped(reply: FollowedReply) -> None:
    claimed = reply.house.claim_one()
    reply.house.cancel(reply.asha, reply.sent.reply_id)
    reply.house.replying.release(claimed)


def tried_in_vain_and_then_cancelled(reply: FollowedReply) -> None:
    reply.house.model.will(["Once", AnswerFailed(FailureReason.MODEL_BUSY)])
    assert reply.house.work() == [ReplyState.QUEUED]
    reply.house.cancel(reply.asha, reply.sent.reply_id)


WITHOUT_A_WORKER = [
    cancelled_in_the_queue,
    given_up_by_the_sweeper,
    handed_back_while_it_was_to_be_stopped,
    tried_in_vain_and_then_cancelled,
]


@pytest.mark.parametrize("end", WITHOUT_A_WORKER)
def test_an_end_without_a_worker_is_heard_at_once(end: Callable[[FollowedReply], None]):
    reply = FollowedReply()
    events = reply.follow()
    assert next(events) == Heartbeat()
    end(reply)
    ended_at = reply.house.clock()
    assert list(events)[-1] == reply.ended
    assert reply.house.clock() == ended_at, "a listener had to wait for it"


@pytest.mark.parametrize("end", WITHOUT_A_WORKER)
def test_its_last_piece_says_which_run_it_was(end: Callable[[FollowedReply], None]):
    reply = FollowedReply()
    end(reply)
    chunks = reply.house.stream.published(reply.sent.reply_id)
    assert chunks[-1] == Chunk(Position(reply.ended.entry.turn.generation, 0), "", final=True)
    assert [chunk.final for chunk in chunks].count(True) == 1


def test_when_it_is_taken_away_the_stream_ends_and_is_not_found_any_more():
    reply = FollowedReply()
    events = reply.follow()
    assert next(events) == Heartbeat()
    reply.house.meanwhile.plan(lambda: reply.house.use_cases.auth.erase_account(principal=reply.asha))
    assert list(events) == [Removed()]
    with pytest.raises(MessageNotFound):
        reply.follow()


def test_from_the_start_to_the_end():
    reply = FollowedReply()
    reply.house.model.will(PIECES)
    reply.house.meanwhile.plan(reply.house.work)
    assert list(reply.follow()) == [
        Heartbeat(),
        Delta(Position(1, 5), "Once "),
        Delta(Position(1, 9), "upon"),
        Delta(Position(1, 16), " a time"),
        reply.ended,
    ]
    assert reply.ended.entry.turn.reply_state is ReplyState.DONE


def test_each_piece_comes_as_soon_as_it_is_said():
    reply = FollowedReply()
    events = reply.follow()
    heard = [next(events)]

    def hear() -> None:
        heard.append(next(events))

    reply.house.model.will([PIECES[0], hear, PIECES[1], hear, PIECES[2], hear])
    claimed = reply.house.claim_one()
    outcome = reply.house.replying.ask_model(claimed, stop=Stop())
    assert [event.text for event in heard if isinstance(event, Delta)] == PIECES
    reply.house.replying.store_outcome(claimed, outcome)
    assert list(events) == [reply.ended]
    assert reply.house.clock() == reply.ended.entry.turn.sent_at  # without waiting


@pytest.mark.parametrize("late_by", range(4))
def test_who_comes_late_gets_what_was_said_and_then_the_rest(late_by: int):
    reply = FollowedReply()
    events: list[Iterator[StreamEvent]] = []

    def come() -> None:
        events.append(reply.follow())
        # It begins to listen with the first look.
        heard.append(next(events[0]))

    heard: list[StreamEvent] = []
    steps: list[str | Callable[[], object]] = [*PIECES]
    steps.insert(late_by, come)
    reply.house.model.will(steps)
    reply.house.work()
    heard += events[0]
    assert "".join(event.text for event in heard if isinstance(event, Delta)) == TEXT
    assert heard[-1] == reply.ended
    assert not any(isinstance(event, Reset) for event in heard)


def test_many_may_watch():
    reply = FollowedReply()
    listeners = [reply.follow() for _ in range(3)]
    for events in listeners:
        assert next(events) == Heartbeat()
    reply.house.model.will(PIECES)
    reply.house.work()
    for events in listeners:
        assert "".join(event.text for event in events if isinstance(event, Delta)) == TEXT


def test_who_goes_is_not_waited_for():
    reply = FollowedReply()
    events = reply.follow()
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert not reply.house.stream._subscribers[reply.sent.reply_id]


# --- Where one left off ---


@pytest.mark.parametrize("characters", range(len(TEXT) + 1))
@pytest.mark.parametrize("kept", [True, False])
def test_one_goes_on_at_any_position_when_it_is_done(characters: int, kept: bool):
    reply = finished()
    if not kept:
        reply.house.stream._published.clear()
    rest = [Delta(Position(1, len(TEXT)), TEXT[characters:])] if characters < len(TEXT) else []
    assert list(reply.follow(Position(1, characters))) == [*rest, reply.ended]
    assert not reply.house.stream._subscribers  # what has ended is not listened to


@pytest.mark.parametrize("characters", range(10))
def test_and_while_it_is_being_written(characters: int):
    reply = FollowedReply()
    heard: list[StreamEvent] = []

    def come_back() -> None:
        reply.house.meanwhile.plan(*[lambda: None] * 3)
        events = reply.follow(Position(1, characters))
        for event in events:
            if isinstance(event, Heartbeat):
                break
            heard.append(event)

    reply.house.model.will(["Once ", "upon", come_back, " a time"])
    reply.house.work()
    assert "".join(cast("Delta", event).text for event in heard) == "Once upon"[characters:]


@pytest.mark.parametrize("position", [Position(1, 99), Position(9, 3), Position(9, 0), Position(0, 7)])
def test_a_position_that_never_was_begins_anew(position: Position):
    reply = finished()
    assert list(reply.follow(position)) == [Reset(Position(1, 0)), Delta(Position(1, 16), TEXT), reply.ended]


# --- Another run ---


def test_another_run_begins_anew():
    reply = FollowedReply()
    reply.house.model.will(["It was ", AnswerFailed(FailureReason.MODEL_BUSY)], PIECES)
    reply.house.meanwhile.plan(
        reply.house.work, lambda: reply.house.clock.advance(timedelta(seconds=2)), reply.house.work
    )
    assert [event for event in reply.follow() if not isinstance(event, Heartbeat)] == [
        Delta(Position(1, 7), "It was "),
        Reset(Position(2, 0)),
        Delta(Position(2, 5), "Once "),
        Delta(Position(2, 9), "upon"),
        Delta(Position(2, 16), " a time"),
        reply.ended,
    ]


def test_one_is_told_as_soon_as_it_begins():
    reply = FollowedReply()
    reply.house.model.will(["It was ", AnswerFailed(FailureReason.MODEL_BUSY)])
    reply.house.work()
    events = reply.follow()
    assert next(events) == Delta(Position(1, 7), "It was ")
    reply.house.clock.advance(timedelta(seconds=2))
    reply.house.model.will([lambda: heard.append(next(events)), "Once"])
    heard: list[StreamEvent] = []
    reply.house.work()
    assert heard == [Reset(Position(2, 0))]


def test_who_has_heard_nothing_yet_is_not_told_to_forget_it():
    reply = FollowedReply()
    reply.house.replying.release(reply.house.claim_one())
    reply.house.model.will(PIECES)
    reply.house.work()
    assert [type(event) for event in reply.follow()] == [Delta, Ended]


def test_who_slept_through_a_run_begins_anew():
    reply = FollowedReply()
    reply.house.replying.release(reply.house.claim_one())
    heard: list[StreamEvent] = []

    def come_back() -> None:
        events = reply.follow(Position(1, 3))
        heard.extend([next(events), next(events)])

    reply.house.model.will(["Once ", come_back, "upon a time"])
    reply.house.work()
    assert heard == [Reset(Position(2, 0)), Delta(Position(2, 5), "Once ")]
    assert list(reply.follow(Position(1, 3))) == [Reset(Position(2, 0)), Delta(Position(2, 16), TEXT), reply.ended]


def test_what_a_worker_says_that_was_thought_dead_is_not_heard():
    reply = FollowedReply()
    reply.house.claim_one()
    events = reply.follow()
    assert next(events) == Heartbeat()
    reply.publish(1, 5, "Once ")
    reply.publish(2, 7, "It was ")
    reply.publish(1, 9, "upon")
    assert [next(events) for _ in range(3)] == [
        Delta(Position(1, 5), "Once "),
        Reset(Position(2, 0)),
        Delta(Position(2, 7), "It was "),
    ]
    assert next(events) == Heartbeat()


# --- Ends ---


def test_a_failure_ends_it_and_nothing_of_the_text_is_left():
    reply = FollowedReply()
    reply.house.model.will(["Once ", AnswerFailed(FailureReason.REFUSED)])
    reply.house.meanwhile.plan(reply.house.work)
    assert list(reply.follow())[1:] == [Delta(Position(1, 5), "Once "), Reset(Position(1, 0)), reply.ended]
    assert reply.ended.entry.turn.failure is FailureReason.REFUSED


def test_a_failure_without_a_word():
    reply = FollowedReply()
    reply.house.model.will(AnswerFailed(FailureReason.REFUSED))
    reply.house.meanwhile.plan(reply.house.work)
    assert list(reply.follow()) == [Heartbeat(), reply.ended]
    assert list(reply.follow()) == [reply.ended]


def test_what_was_stopped_ends_with_what_there_is_of_it():
    reply = FollowedReply()
    claimed = reply.house.claim_one()
    events = reply.follow()
    next(events)
    reply.house.cancel(reply.asha, reply.sent.reply_id)

    stop = Stop()
    reply.house.model.will(["Once ", stop.request, "upon"])
    assert reply.house.write(claimed, stop=stop) is ReplyState.CANCELLED
    assert list(events) == [Delta(Position(1, 5), "Once "), reply.ended]
    assert reply.ended.entry.turn.reply_state is ReplyState.CANCELLED
    assert list(reply.follow(Position(1, 2))) == [Delta(Position(1, 5), "ce "), reply.ended]


def test_what_is_cancelled_before_it_begins_ends_with_the_next_look_at_the_database():
    reply = FollowedReply()
    reply.house.meanwhile.plan(lambda: reply.house.cancel(reply.asha, reply.sent.reply_id))
    assert list(reply.follow()) == [Heartbeat(), reply.ended]


def test_a_death_in_silence_is_found_out():
    reply = FollowedReply()
    reply.house.claim_one()
    reply.publish(1, 5, "Once ")
    events = reply.follow()
    assert next(events) == Delta(Position(1, 5), "Once ")
    before = reply.house.clock()
    assert [next(events), next(events)] == [Heartbeat()] * 2
    assert reply.house.clock() - before == 2 * timedelta(seconds=HEARTBEAT_SECONDS)
    reply.house.clock.advance(reply.house.policy.deadline)
    reply.house.sweep()
    assert list(events) == [Reset(Position(1, 0)), reply.ended]
    assert reply.ended.entry.turn.failure is FailureReason.DEADLINE_EXCEEDED


def test_an_end_that_was_stored_without_a_word_is_found_out():
    reply = FollowedReply()
    claimed = reply.house.claim_one()
    events = reply.follow()
    next(events)
    reply.publish(1, 5, "Once ")
    with reply.house.unit_of_work() as work:  # and Redis is down
        work.replies.finish(claimed.claim, Answer(TEXT, "scripted"))
        work.commit()
    assert list(events) == [Delta(Position(1, 5), "Once "), Delta(Position(1, 16), TEXT[5:]), reply.ended]


def test_a_database_that_is_down_for_a_moment_cuts_no_listener_off():
    reply = FollowedReply()
    events = reply.follow()
    next(events)
    reply.house.database_probe.on = False
    assert [next(events), next(events)] == [Heartbeat()] * 2
    reply.house.database_probe.on = True
    reply.house.work()
    assert list(events)[-1] == reply.ended
    reply.house.database_probe.on = False
    with pytest.raises(DependencyDown):
        reply.follow()  # but watching does not begin without


def test_a_message_stands_for_its_newest_reply():
    reply = finished()
    again = reply.house.regenerate(reply.asha, reply.sent.reply_id)
    reply.house.model.will(["Another"])
    reply.house.work()
    # Another reply to the message goes on counting the runs: a position in one is never one in the other.
    assert next(reply.house.follow(reply.asha, reply.sent.message.id)) == Delta(Position(2, 7), "Another")
    assert next(reply.house.follow(reply.asha, again.reply_id)) == Delta(Position(2, 7), "Another")
    assert next(reply.follow()) == Delta(Position(1, 16), TEXT)


# --- What gets lost on the way ---


class Wire:
    """The ReplySubscriber port: what is published may not be kept, and may be heard never, once or twice."""

    def __init__(self) -> None:
        self.kept: list[Chunk] = []
        self.to_come: deque[Callable[[], object]] = deque()
        self.looks = 0
        self._hearing: deque[Chunk] | None = None
        self._silences = 0

    def publish(self, chunk: Chunk, *, kept: bool = True, heard: int = 1) -> None:
        """Let the chunk go through so."""
        if kept:
            self.kept.append(chunk)
        if self._hearing is not None:
            self._hearing.extend([chunk] * heard)

    @contextmanager
    def listen(self, reply_id: ReplyId) -> Iterator["Wire"]:
        """Listen to what is published from now on."""
        self._hearing = deque()
        try:
            yield self
        finally:
            self._hearing = None

    def published(self, reply_id: ReplyId) -> list[Chunk]:
        """What was kept."""
        self.looks += 1
        return list(self.kept)

    confirmed = True

    def when_ready(self, callback: Callable[[], None]) -> None:
        callback()

    def next(self, *, within: float) -> Chunk | None:
        """What is heard next, of what is to come if need be."""
        if not self._hearing and self.to_come:
            self.to_come.popleft()()
        if self._hearing:
            self._silences = 0
            return self._hearing.popleft()
        self._silences += 1
        assert self._silences < 100, "it hangs"
        return None


class Watched(NamedTuple):
    """A reply in the database, the wire, and the use case between them."""

    wire: Wire
    rows: list[Entry]
    follow: Callable[..., Iterator[StreamEvent]]

    def store(self, state: ReplyState, generation: int, text: str | None) -> None:
        """Let the reply stand so in the database."""
        entry = self.rows[0]
        turn = entry.turn._replace(reply_state=state, generation=generation, reply_content=text)
        self.rows[0] = entry._replace(turn=turn)


FOLLOWED = FollowedReply()
ENTRY = FOLLOWED.house.entry(FOLLOWED.asha, FOLLOWED.sent.reply_id)


def watched() -> Watched:
    """A reply that is waiting."""
    rows, wire = [ENTRY], Wire()
    reply = FollowReply(cast("ReadEntry", lambda **_: rows[0]), wire)

    def follow(after: Position = START) -> Iterator[StreamEvent]:
        return events_of(reply(user_id=FOLLOWED.asha.user_id, entry_id=FOLLOWED.sent.reply_id, after=after))

    return Watched(wire, rows, follow)


def chunk(text: str, begin: int, generation: int = 1, *, final: bool = False) -> Chunk:
    """A chunk that begins there."""
    return Chunk(Position(generation, begin + len(text)), text, final)


def test_a_gap_is_filled_from_what_was_kept():
    reply = watched()
    events = reply.follow()
    next(events)
    reply.wire.publish(chunk("Once ", 0))
    reply.wire.publish(chunk("upon", 5), heard=0)
    reply.wire.publish(chunk(" a ", 9))
    reply.wire.publish(chunk("time", 12))
    looks = reply.wire.looks
    assert [next(events) for _ in range(4)] == [
        Delta(Position(1, 5), "Once "),
        Delta(Position(1, 9), "upon"),
        Delta(Position(1, 12), " a "),
        Delta(Position(1, 16), "time"),
    ]
    assert reply.wire.looks == looks + 1


def test_the_lost_beginning_of_another_run_is_too():
    reply = watched()
    reply.wire.publish(chunk("It was", 0))
    events = reply.follow()
    next(events)
    reply.wire.publish(chunk("", 0, generation=2), heard=0)
    reply.wire.publish(chunk("Once ", 0, generation=2), heard=0)
    reply.wire.publish(chunk("upon", 5, generation=2))
    assert [next(events) for _ in range(3)] == [
        Reset(Position(2, 0)),
        Delta(Position(2, 5), "Once "),
        Delta(Position(2, 9), "upon"),
    ]


def test_what_was_heard_already_is_dropped_also_in_part():
    reply = watched()
    events = reply.follow()
    next(events)
    reply.wire.publish(chunk("Once ", 0), heard=2)
    reply.wire.publish(chunk("ce upon", 2), heard=2)
    reply.wire.publish(chunk("Once upon a", 0))
    assert [next(events) for _ in range(3)] == [
        Delta(Position(1, 5), "Once "),
        Delta(Position(1, 9), "upon"),
        Delta(Position(1, 11), " a"),
    ]
    assert next(events) == Heartbeat()


def test_chunks_that_are_lost_come_from_the_database_at_the_end():
    reply = watched()
    events = reply.follow()
    next(events)
    reply.wire.publish(chunk("Once ", 0))
    reply.wire.publish(chunk("upon", 5), kept=False, heard=0)
    reply.wire.publish(chunk(" a time", 9))
    reply.store(ReplyState.DONE, 1, TEXT)
    reply.wire.publish(chunk("", 16, final=True))
    assert list(events) == [
        Delta(Position(1, 5), "Once "),
        Delta(Position(1, 16), "upon a time"),
        Ended(Position(1, 16), reply.rows[0]),
    ]


class Fate(NamedTuple):
    """What becomes of a chunk on the wire."""

    kept: bool
    heard: int


FATES = st.builds(Fate, st.booleans(), st.integers(0, 2))
RUNS = st.lists(st.lists(st.tuples(st.text(max_size=4), FATES), max_size=6), min_size=1, max_size=3)


class Client:
    """Applies what it is told."""

    def __init__(self) -> None:
        self.text = ""
        self.position = START
        self.ended: Entry | None = None

    def hear(self, event: StreamEvent) -> None:
        """As the documentation of the stream says."""
        assert self.ended is None
        if isinstance(event, Heartbeat):
            return
        assert not isinstance(event, Removed)
        self.position = event.position
        if isinstance(event, Delta):
            assert event.text
            self.text += event.text
        elif isinstance(event, Reset):
            self.text = ""
        else:
            self.ended = event.entry
        assert event.position.characters == len(self.text)


def through(reply: Watched, what: Chunk, fate: Fate) -> Callable[[], None]:
    """What happens when the chunk is published."""
    return lambda: reply.wire.publish(what, kept=fate.kept, heard=fate.heard)


@given(
    runs=RUNS,
    ends=st.sampled_from(["done", "stopped", "failed", "cancelled"]),
    announcements=st.lists(FATES, min_size=4, max_size=4),
    connections=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=5),
)
def test_whatever_is_lost_or_doubled_and_however_often_one_comes_back_one_ends_with_what_is_stored(
    runs: list[list[tuple[str, Fate]]], ends: str, announcements: list[Fate], connections: list[tuple[int, int]]
):
    reply = watched()
    said = ""
    for number, chunks in enumerate(runs, 1):
        said = ""
        reply.wire.to_come.append(through(reply, chunk("", 0, number), announcements[number]))
        for text, fate in chunks:
            reply.wire.to_come.append(through(reply, chunk(text, len(said), number), fate))
            said += text
    generation = len(runs)
    state = {"done": ReplyState.DONE, "failed": ReplyState.FAILED}.get(ends, ReplyState.CANCELLED)
    stored = said if ends in {"done", "stopped"} else None
    reply.wire.to_come.append(lambda: reply.store(state, generation, stored))
    reply.wire.to_come.append(through(reply, chunk("", len(said), generation, final=True), announcements[0]))

    client = Client()
    for events, missed in connections:
        watching = reply.follow(client.position)
        for event in watching:
            client.hear(event)
            if client.ended or events == 0:
                break
            events -= 1  # noqa: PLW2901
        watching.close()  # type: ignore[attr-defined]
        if client.ended:
            break
        for _ in range(min(missed, len(reply.wire.to_come))):
            reply.wire.to_come.popleft()()
    if not client.ended:
        for event in reply.follow(client.position):
            client.hear(event)
    assert client.ended == reply.rows[0]
    assert client.text == (stored or "")
    # And who comes back after that is told the same again, and nothing else.
    assert list(reply.follow(client.position)) == [Ended(client.position, reply.rows[0])]
