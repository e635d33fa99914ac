"""GET /chatroom/{id}/export."""

from uuid import UUID

from tests.api.client import Client, problem_of
from tests.builders import House

NOWHERE = f"/chatroom/{UUID(int=1 << 100)}/export"


def test_a_document_with_all_that_was_said(asha: Client, ravi: Client, house: House):
    room = asha.open_room("Ebb & flow ☾")
    ravi.say(ravi.open_room(), "a secret of Ravi's")
    for text in ("one", "two\n## You"):
        asha.say(room, text)
        house.work()
    answer = asha.get(f"{room}/export")
    assert answer.status_code == 200
    assert answer.content_type == "text/markdown; charset=utf-8"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"Ebb _ flow _.md\"; filename*=UTF-8''Ebb%20&%20flow%20%E2%98%BE.md"
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.startswith("# Ebb \\& flow ☾\n\n*Opened 2026-03-02 09:30:00 UTC")
    assert "> one\n\n## Gemini\n\n*2026-03-02 09:30:00 UTC, scripted*\n\necho: one\n\n## You" in answer.text
    assert "> two\n> ## You\n\n## Gemini" in answer.text
    assert "echo: two\n#### You\n\n---" in answer.text
    assert answer.text.endswith("*End of the export: 2 messages with their replies.*\n")
    assert "Ravi" not in answer.text


def test_a_chatroom_with_nothing_in_it(asha: Client):
    answer = asha.get(f"{asha.open_room('Tides')}/export")
    assert answer.text.splitlines()[0] == "# Tides"
    assert answer.text.endswith("*End of the export: 0 messages with their replies.*\n")


def test_a_chatroom_that_goes_meanwhile_leaves_the_end_out(asha: Client, house: House):
    room = asha.open_room()
    for text in ("one", "two"):
        asha.say(room, text)
        house.work()
    answer = asha.get(f"{room}/export", buffered=False)
    parts = answer.iter_encoded()
    document = b"".join(next(parts) for _ in range(3))
    asha.send("DELETE", room)
    document += b"".join(parts)
    assert b"> one" in document
    assert b"End of the export" not in document


def test_those_of_others_and_of_nobody_are_not_found(asha: Client, ravi: Client):
    room = asha.open_room()
    problem_of(ravi.get(f"{room}/export"), 404, "chatroom_not_found")
    problem_of(asha.get(NOWHERE), 404, "chatroom_not_found")


def test_too_often_is_told(asha: Client):
    room = asha.open_room()
    for _ in range(30):
        assert asha.get(f"{room}/export").status_code == 200
    problem = problem_of(asha.get(f"{room}/export"), 429, "rate_limited")
    assert (problem["policy"], problem["limit"]) == ("room_export", 30)


def test_a_database_that_goes_away_shows_before_it_begins(asha: Client, house: House):
    room = asha.open_room()
    house.database_probe.on = False
    problem_of(asha.get(f"{room}/export"), 503, "dependency_unavailable")


def test_a_guest_takes_nothing(guest: Client, asha: Client):
    problem_of(guest.get(f"{asha.open_room()}/export"), 401, "token_invalid")
