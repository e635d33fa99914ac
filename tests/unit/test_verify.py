"""Parts of the verify kit that need no service."""

import ast
import json
import sys
from pathlib import Path

import phonenumbers
import pytest

from verify import bodies
from verify.http import Exchange, Http, Log
from verify.masking import Masker
from verify.outcomes import Failed
from verify.server_sent_events import Event, events_of, text_of
from verify.world import Options, World

KIT = Path(__file__).resolve().parents[2] / "verify"


def test_it_needs_nothing_but_the_standard_library():
    imported = set()
    for path in KIT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names == {"verify"}


def test_numbers_of_new_users_cannot_be_assigned():
    http = Http("http://chat.example", timeout=1, deadline=0, log=Log())
    world = World(http, Options(), Masker())
    numbers = [phonenumbers.parse(world.new_number()) for _ in range(1000)]
    assert not any(map(phonenumbers.is_valid_number, numbers))
    # Else a service in development would not take them either.
    assert all(map(phonenumbers.is_possible_number, numbers))


class TestMasking:
    """Nothing secret is printed."""

    @pytest.mark.parametrize(
        "name", ["otp", "token", "refreshToken", "password", "newPassword", "mobileNumber", "email", "code"]
    )
    def test_members_that_are_secret_by_their_name(self, name: str):
        said = Masker().text(json.dumps({name: 'A "secret" \\ 1', "id": "1"}))
        assert json.loads(said) == {name: "***", "id": "1"}

    def test_a_code_that_is_a_number(self):
        assert Masker().text('{"otp":123456}') == '{"otp":"***"}'

    def test_the_code_of_a_problem_is_none(self):
        assert Masker().text('{"code":"otp_invalid"}') == '{"code":"otp_invalid"}'

    def test_what_it_was_told_of_wherever_it_stands(self):
        masker = Masker()
        masker.hide("hunter2", "", "hunter2-and-more")
        assert masker.text("/x?y=hunter2-and-more, hunter2") == "/x?y=***, ***"
        assert masker.header("Location", "/hunter2") == "/***"

    def test_jwts(self):
        assert Masker().text("a eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. b") == "a *** b"

    def test_headers(self):
        masker = Masker()
        assert masker.header("authorization", "Bearer abc") == "Bearer ***"
        assert masker.header("Stripe-Signature", "t=1,v1=00") == "***"
        assert masker.header("Content-Type", "application/json") == "application/json"

    def test_it_can_be_switched_off(self):
        masker = Masker(is_on=False)
        masker.hide("hunter2")
        assert masker.text('{"otp":"hunter2"}') == '{"otp":"hunter2"}'
        assert masker.header("Authorization", "Bearer hunter2") == "Bearer hunter2"


class TestEvents:
    """Server-Sent Events."""

    def test_a_stream(self):
        lines = [
            "retry: 1000",
            "",
            ": still here",
            "",
            "id: 1-2",
            "event: delta",
            'data: {"text":"Hé"}',
            "",
            'data: {"a":',
        ]
        assert list(events_of(lines)) == [Event("delta", "1-2", {"text": "Hé"})]

    def test_data_in_several_lines_and_an_id_that_stays(self):
        lines = ["id:7", "data:[1,", "data:2]", "", "data: 3", ""]
        assert list(events_of(lines)) == [Event("message", "7", [1, 2]), Event("message", "7", 3)]

    def test_what_is_not_json_is_a_failure(self):
        with pytest.raises(Failed, match="not JSON"):
            list(events_of(["data: {", ""]))

    def test_a_reset_empties_the_text(self):
        events = [Event("delta", "1", {"text": "a"}), Event("reset", "2", {}), Event("delta", "3", {"text": "b"})]
        assert text_of(events[:1], "x") == "xa"
        assert text_of(events) == "b"


def answered(body: object) -> Exchange:
    return Exchange("GET", "http://chat.example/chatroom", {}, b"", 200, [], json.dumps(body).encode())


class TestBodies:
    """Other implementations nest and name otherwise."""

    @pytest.mark.parametrize("body", [{"id": "1"}, {"data": {"chatroom": {"id": "1"}}}, {"chatroom": {"_id": "1"}}])
    def test_a_value(self, body: object):
        assert bodies.text(answered(body), "id", "_id") == "1"

    def test_the_outer_value_counts(self):
        assert bodies.text(answered({"user": {"id": "2"}, "id": "1"}), "id") == "1"

    def test_a_value_that_is_missing(self):
        with pytest.raises(Failed, match="GET /chatroom answers 200 without token"):
            bodies.value(answered({"ok": True}), "token")

    @pytest.mark.parametrize(
        "body", [[{"id": "1"}], {"chatrooms": [{"id": "1"}]}, {"data": {"chatrooms": [{"id": "1"}]}}]
    )
    def test_a_list(self, body: object):
        assert bodies.entries(answered(body), "chatrooms") == [{"id": "1"}]

    def test_what_is_no_list(self):
        with pytest.raises(Failed, match="without a list of chatrooms"):
            bodies.entries(answered({"chatrooms": {"1": {}}}), "chatrooms")
