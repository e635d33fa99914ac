"""PUT and DELETE of /message/{id}/feedback."""

from typing import Any
from uuid import UUID

import pytest

from application.ports.language_model import Stop
from tests.api.client import Client, body_of, faulty_fields, problem_of
from tests.builders import House

NOWHERE = f"/message/{UUID(int=1 << 100)}/feedback"
DOWN = {"rating": "down", "reasons": ["too_long"], "comment": "One sentence, please. ☃"}
GIVEN = {**DOWN, "givenAt": "2026-03-02T09:30:00Z"}


def answered(asha: Client, house: House) -> str:
    path = asha.promised(asha.open_room())
    house.work()
    return path


def put(client: Client, path: str, body: Any) -> Any:
    return client.send("PUT", f"{path}/feedback", json=body)


def test_it_stands_with_the_reply_wherever_that_is_read(asha: Client, house: House):
    path = answered(asha, house)
    reply = body_of(asha.get(path))
    assert "feedback" not in reply
    assert body_of(put(asha, path, DOWN)) == GIVEN
    room = f"/chatroom/{reply['chatroomId']}"
    assert body_of(asha.get(path)) == {**reply, "feedback": GIVEN}
    assert body_of(asha.get(f"{path}/replies"))["replies"] == [{**reply, "feedback": GIVEN}]
    assert body_of(asha.get(room))["messages"][1]["feedback"] == GIVEN
    after = body_of(asha.get(f"{room}/messages?after={reply['replyTo']}"))["messages"]
    assert [one["feedback"] for one in after] == [GIVEN]


def test_the_same_again_is_the_same(asha: Client, house: House):
    path = answered(asha, house)
    assert body_of(put(asha, path, DOWN)) == body_of(put(asha, path, DOWN))


def test_another_takes_its_place_and_none_takes_it_back(asha: Client, house: House):
    path = answered(asha, house)
    put(asha, path, DOWN)
    up: Any = {"rating": "up", "reasons": [], "comment": None, "givenAt": "2026-03-02T09:30:00Z"}
    assert body_of(put(asha, path, {"rating": "up"})) == up
    assert body_of(put(asha, path, {"rating": "up", "comment": None})) == up
    for _ in range(2):
        assert asha.send("DELETE", f"{path}/feedback").status_code == 204
        assert "feedback" not in body_of(asha.get(path))


def test_a_message_stands_for_its_newest_reply(asha: Client, house: House):
    path = answered(asha, house)
    message = body_of(asha.get(path))["replyTo"]
    put(asha, f"/message/{message}", DOWN)
    assert body_of(asha.get(path))["feedback"] == GIVEN


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "rating"),
        ({"rating": "sideways"}, "rating"),
        ({"rating": None}, "rating"),
        ({"rating": "down", "reasons": ["boring"]}, "reasons.0"),
        ({"rating": "down", "reasons": "other"}, "reasons"),
        ({"rating": "down", "reasons": ["other"] * 6}, "reasons"),
        ({"rating": "down", "comment": ""}, "comment"),
        ({"rating": "down", "comment": " "}, "comment"),
        ({"rating": "down", "comment": "c" * 1_001}, "comment"),
        ({"rating": "down", "comment": 1}, "comment"),
    ],
)
def test_what_is_faulty_is_named(asha: Client, house: House, wrong: object, field: str):
    path = answered(asha, house)
    assert faulty_fields(put(asha, path, wrong)) == {field}
    assert "feedback" not in body_of(asha.get(path))


@pytest.mark.parametrize("comment", ["\x00", "\ud800"])
def test_what_cannot_be_stored_is_refused(asha: Client, house: House, comment: str):
    path = answered(asha, house)
    answer = put(asha, path, {"rating": "down", "comment": comment})
    assert answer.status_code == 400


def test_only_what_is_answered_is_rated(asha: Client, house: House):
    path = asha.promised(asha.open_room())
    problem_of(put(asha, path, DOWN), 409, "reply_not_ratable")
    claimed = house.claim_one()
    problem_of(put(asha, path, DOWN), 409, "reply_not_ratable")
    assert asha.send("DELETE", f"{path}/feedback").status_code == 204
    # One that was stopped and kept what there was is an answer, too.
    asha.post(f"{path}/cancel")
    stop = Stop()
    house.model.will(["Once upon", stop.request, " a time"])
    house.write(claimed, stop=stop)
    assert body_of(put(asha, path, DOWN)) == GIVEN


def test_that_of_others_is_not_found(asha: Client, ravi: Client, house: House):
    path = answered(asha, house)
    put(asha, path, DOWN)
    for where in (f"{path}/feedback", NOWHERE):
        problem_of(ravi.send("PUT", where, json={"rating": "up"}), 404, "message_not_found")
        problem_of(ravi.send("DELETE", where), 404, "message_not_found")
    assert body_of(asha.get(path))["feedback"] == GIVEN


def test_a_guest_is_refused(guest: Client, asha: Client, house: House):
    path = answered(asha, house)
    problem_of(put(guest, path, {}), 401, "token_invalid")
    problem_of(guest.send("DELETE", f"{path}/feedback"), 401, "token_invalid")
