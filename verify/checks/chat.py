"""Chatrooms, messages, their replies and streams, and the quota."""

import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from verify import bodies
from verify.checks import Check, check
from verify.http import Exchange
from verify.outcomes import LeftOut, expect
from verify.server_sent_events import ENDS, Event, text_of
from verify.world import User, World

TOO_MANY = 5  # messages beyond the quota
AT_ONCE = 5
SETTLING_SECONDS = 0.5  # in which a second reply would come
MOST_PROMPTS = 20  # that are used up
LONGEST_DAY = 86_400


@check("chatrooms", plain=True)
def chatrooms(world: World) -> None:
    """A chatroom that was opened is shown, and listed at once."""
    user = world.user()
    rooms = {name: user.open_room(name) for name in ("Verify: first", "Verify: second")}
    for name, room in rooms.items():
        shown = user.get(f"/chatroom/{room}").must_be(200)
        expect(bodies.text(shown, "name", "title") == name, f"the chatroom “{name}” has another name")
        expect(not user.entries(room), "a new chatroom has messages")
    for _ in range(2):  # the second list may be a cache's
        listed = [bodies.id_of(one) for one in bodies.entries(user.get("/chatroom").must_be(200), "chatrooms")]
        expect({*rooms.values()} <= {*listed}, "GET /chatroom does not list a new chatroom")
    user.open_room("Verify: third")
    listed = [bodies.id_of(one) for one in bodies.entries(user.get("/chatroom").must_be(200), "chatrooms")]
    expect(user.rooms[-1] in listed, "GET /chatroom does not list a chatroom that was opened after a list was read")


@check("chatroom-pages")
def chatroom_pages(world: World) -> None:
    """Chatrooms are listed newest first, and by pages none is missing and none comes twice."""
    user = world.user()
    rooms = [user.open_room(f"Verify: page {number}") for number in range(5)]
    found: list[str] = []
    path = "/chatroom?limit=2"
    while path and len(found) < 1000:
        page = user.get(path).must_be(200)
        entries = [bodies.id_of(one) for one in bodies.entries(page, "chatrooms")]
        expect(len(entries) <= 2, f"a page of 2 has {len(entries)} chatrooms")
        found += entries
        following = re.search(r'<([^>]+)>;\s*rel="?next"?', page.header("Link"))
        path = following[1].removeprefix(world.http.base_url) if following else ""
    expect(len({*found}) == len(found), "a chatroom comes twice")
    ours = [one for one in found if one in rooms]
    expect({*ours} == {*rooms}, f"{len(rooms) - len(ours)} of 5 chatrooms are on no page")
    expect(ours == rooms[::-1], "chatrooms are not listed newest first")


@check("message", plain=True)
def message(world: World) -> None:
    """A message is accepted, and gets exactly one reply, or one failure that costs nothing."""
    user = world.user(prompts=1)
    room = user.open_room("Verify: message")
    words = f"What is {secrets.randbelow(90) + 10} and two?"
    answer = user.say(room, words)
    if world.options.plain:
        answer.must_succeed()
    else:
        _expect_accepted(answer, words)
    world.wait("the reply", lambda: _is_answered(user.entries(room), words))
    world.pause(SETTLING_SECONDS)
    entries = user.entries(room)
    said = [one for one in entries if bodies.is_of_the_user(one) and bodies.words_of(one) == words]
    replies = [one for one in entries if not bodies.is_of_the_user(one)]
    expect(len(said) == 1, f"the message is there {len(said)} times")
    expect(len(replies) <= 1, f"the message has {len(replies)} replies")
    if not world.options.plain:
        used = user.get("/user/usage").must_be(200).json()["used"]
        costs = 1 if replies[0]["status"] == "done" else 0
        expect(not user.is_ours or used == costs, f"a message whose reply is {replies[0]['status']} has cost {used}")


@check("order")
def order(world: World) -> None:
    """Messages stand in the order in which they were sent, each with its reply, also when read by pages."""
    user = world.user(prompts=3)
    room = user.open_room("Verify: order")
    words = [f"Number {number}" for number in (1, 2, 3)]
    for one in words:
        user.say(room, one, key=secrets.token_hex(8)).must_be(201, 202)
    entries = world.replies(user, room, 3)
    said = [bodies.words_of(one) for one in entries if bodies.is_of_the_user(one)]
    expect(said == words, f"the messages stand in this order: {', '.join(said)}")
    for earlier, later in zip(entries[::2], entries[1::2], strict=False):
        expect(later.get("replyTo") == earlier["id"], "a message is not followed by its reply")
    whole = [bodies.id_of(one) for one in entries]
    paged = _pages(user, room)
    expect(len({*paged}) == len(paged), "by pages an entry comes twice")
    expect(
        paged == whole, f"by pages there are {len(paged)} entries, and in the chatroom {len(whole)}, or another order"
    )


@check("idempotency")
def idempotency(world: World) -> None:
    """A message that is sent again with its key counts once, also at once; with another body the key is refused."""
    user = world.user(prompts=2)
    room = user.open_room("Verify: idempotency")
    keys = [secrets.token_hex(8) for _ in range(2)]
    first = user.say(room, "Once", key=keys[0]).must_be(201, 202)
    again = user.say(room, "Once", key=keys[0]).must_be(201, 202)
    expect(_message_id(again) == _message_id(first), "the same key gives another message")
    answers = world.at_once(AT_ONCE, lambda _: user.say(room, "Once more", key=keys[1]))
    accepted = [answer for answer in answers if answer.status in {201, 202}]
    for answer in answers:
        answer.must_be(201, 202, 409)
    expect(accepted, "of requests with one key that came at once, none was accepted")
    ids = {_message_id(answer) for answer in accepted}
    expect(len(ids) == 1, f"{AT_ONCE} requests at once with one key gave {len(ids)} messages")
    user.say(room, "Something else", key=keys[0]).must_be(400, 409, 422)
    said = [bodies.words_of(one) for one in user.entries(room) if bodies.is_of_the_user(one)]
    expect(said == ["Once", "Once more"], f"the chatroom has {len(said)} messages, and two were sent")


@check("quota-race", plain=True)
def quota_race(world: World) -> None:
    """Of more messages at once than a free user's day has, exactly as many are accepted as it has."""
    user = world.user(prompts=1)
    allowed = world.options.quota if user.is_ours else world.prompts_left(user)
    if allowed > MOST_PROMPTS:
        raise LeftOut(f"{allowed} prompts would have to be used up, and it uses up {MOST_PROMPTS} at most")
    room = user.open_room("Verify: quota-race")
    answers = world.at_once(
        allowed + TOO_MANY, lambda number: user.say(room, f"Number {number}", key=secrets.token_hex(8))
    )
    accepted = [answer for answer in answers if answer.status < 300]
    refused = [answer for answer in answers if answer.status >= 300]
    if len(accepted) > allowed:
        _leave_out_if_prompts_came_back(world, user, room)
    expect(len(accepted) == allowed, f"{len(accepted)} messages were accepted at once, and the day has {allowed}")
    for answer in refused:
        answer.must_be(*((429,) if not world.options.plain else (402, 403, 429)))
        if not world.options.plain:
            _expect_quota_problem(answer)
    said = [one for one in user.entries(room) if bodies.is_of_the_user(one)]
    expect(len(said) == allowed, f"the chatroom has {len(said)} messages, and {allowed} were accepted")
    late = user.say(room, "One more", key=secrets.token_hex(8))
    if late.status < 300:
        _leave_out_if_prompts_came_back(world, user, room)
    late.must_be_refused()


@check("stream")
def stream(world: World) -> None:
    """The stream of a reply has its text in order, and ends once, with all of it."""
    user = world.user(prompts=1)
    room = user.open_room("Verify: stream")
    reply = _sent(user, room, "Tell me of the tides, in a few sentences.")
    with _stream(world, user, reply) as coming:
        events = list(coming)
    _expect_end(events)
    ids = [event.id for event in events]
    expect(all(ids) and len({*ids}) == len(ids), "an event has no id, or one that another has")
    final = user.get(f"/message/{reply}").must_be(200).json()
    expect(
        events[-1].name == final["status"], f"the stream ends with {events[-1].name}; the reply is {final['status']}"
    )
    if final["status"] == "done":
        expect(text_of(events) == final["content"], "the text of the stream is not that of the reply")
        expect(events[-1].data.get("content") == final["content"], "the last event does not have the whole reply")


@check("stream-resume")
def stream_resume(world: World) -> None:
    """A stream that broke off goes on after Last-Event-ID: no text is missing, and none comes twice."""
    user = world.user(prompts=1)
    room = user.open_room("Verify: stream-resume")
    reply = _sent(user, room, "Tell me of the moon, in a few sentences.")
    before: list[Event] = []
    with _stream(world, user, reply) as coming:
        for event in coming:
            before.append(event)
            if event.name == "delta":
                break
    expect(before, "the stream ends without an event")
    events = before + _rest(world, user, reply, before[-1])
    _expect_end(events)
    final = user.get(f"/message/{reply}").must_be(200).json()
    content = final.get("content") or ""
    if final["status"] != "done":
        raise LeftOut(f"the reply is {final['status']}; it needs one that is done")
    expect(text_of(events) == content, "the text before and after the break is not that of the reply")
    for number, event in enumerate(events[:-1], start=1):
        text = text_of(_rest(world, user, reply, event), text_of(events[:number]))
        expect(text == content, f"resumed after event {event.id}, the text is not that of the reply")


def _expect_accepted(answer: Exchange, words: str) -> None:
    body = answer.must_be(202).json()
    expect(body.get("message", {}).get("content") == words, "202 does not show the message")
    expect(body.get("reply", {}).get("id"), "202 names no reply")
    expect(answer.header("Location"), "202 has no Location")


def _is_answered(entries: list[dict[str, Any]], words: str) -> bool:
    """A reply stands beside the message, or in it."""
    own = [one for one in entries if bodies.words_of(one) == words]
    within = any(one.get(name) for one in own for name in ("response", "reply", "aiResponse", "answer"))
    return within or any(map(bodies.is_finished_reply, entries))


def _pages(user: User, room: str) -> list[str]:
    """The ids of a chatroom's entries, oldest first, read by pages of two from the newest."""
    found: list[str] = []
    path = f"/chatroom/{room}/messages?limit=2"
    for _ in range(20):
        page = user.get(path).must_be(200)
        found = [bodies.id_of(one) for one in bodies.entries(page, "messages")] + found
        cursor = page.json().get("nextCursor")
        if not cursor:
            return found
        path = f"/chatroom/{room}/messages?limit=2&before={cursor}"
    return found


def _message_id(answer: Exchange) -> str:
    return str(answer.json()["message"]["id"])


def _expect_quota_problem(answer: Exchange) -> None:
    wait = answer.header("Retry-After")
    expect(
        wait.isdigit() and 0 < int(wait) <= LONGEST_DAY, f"429 has Retry-After “{wait}”, not seconds to the next day"
    )
    expect(answer.header("Content-Type").startswith("application/problem+json"), "429 is no problem+json")
    code = answer.json().get("code")
    expect(code == "daily_quota_exceeded", f"the problem's code is {code}, not daily_quota_exceeded")


def _leave_out_if_prompts_came_back(world: World, user: User, room: str) -> None:
    """A reply that fails gives its prompt back, so that more messages than the day has are right."""
    messages = sum(map(bodies.is_of_the_user, user.entries(room)))
    failed = sum(one.get("status") == "failed" for one in world.replies(user, room, messages))
    if failed:
        raise LeftOut(f"{failed} replies failed and gave their prompts back; it needs a model that answers")


def _sent(user: User, room: str, words: str) -> str:
    """The id of the reply to a message."""
    return str(user.say(room, words, key=secrets.token_hex(8)).must_be(201, 202).json()["reply"]["id"])


def _stream(
    world: World, user: User, reply: str, last_event_id: str | None = None
) -> AbstractContextManager[Iterator[Event]]:
    path, within = f"/message/{reply}/stream", world.options.reply_within
    return world.http.stream(path, token=user.token, within=within, last_event_id=last_event_id)


def _rest(world: World, user: User, reply: str, after: Event) -> list[Event]:
    """The events after one, to the end; none after the last."""
    if after.name in ENDS:
        return []
    with _stream(world, user, reply, after.id) as coming:
        return list(coming)


def _expect_end(events: list[Event]) -> None:
    ends = [event.name for event in events if event.name in ENDS]
    expect(len(ends) == 1, f"the stream has {len(ends)} ends")
    expect(events[-1].name in ENDS, f"after its end, the stream goes on with {events[-1].name}")


CHECKS: tuple[Check, ...] = (
    chatrooms, chatroom_pages, message, order, idempotency, stream, stream_resume, quota_race,
)  # fmt: skip
