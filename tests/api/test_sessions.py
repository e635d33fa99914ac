"""/auth: new tokens, logging out, and where one is logged in."""

from datetime import timedelta
from typing import Any

import pytest

from domain.accounts import REFRESH_GRACE
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House

LATER = REFRESH_GRACE + timedelta(seconds=1)


def log_in(guest: Client, house: House, phone: str = ASHA, **request: Any) -> dict[str, Any]:
    body: dict[str, Any] = body_of(
        guest.post("/auth/verify-otp", {"mobileNumber": phone, "otp": house.code(phone)}, **request)
    )
    return body


def refresh(guest: Client, token: object):
    return guest.post("/auth/refresh", {"refreshToken": token})


class TestRefreshing:
    """POST /auth/refresh."""

    def test_a_login_can_be_refreshed(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house)
        answer = refresh(guest, login["refreshToken"])
        body = body_of(answer)
        assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 900)
        assert body["refreshToken"] != login["refreshToken"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert body_of(api.client(body["token"]).get("/user/me"))["id"] == login["user"]["id"]

    def test_a_login_by_password_too(self, guest: Client, house: House):
        house.user_with_password(ASHA, "the password of Asha")
        login = body_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": "the password of Asha"}))
        body_of(refresh(guest, login["refreshToken"]))

    def test_a_token_that_was_used_ends_the_session(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house)
        new = body_of(refresh(guest, login["refreshToken"]))
        house.clock.advance(LATER)
        answer = refresh(guest, login["refreshToken"])
        problem_of(answer, 401, "refresh_token_invalid")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        for token in (login["token"], new["token"]):
            problem_of(api.client(token).get("/user/me"), 401, "token_invalid")
        problem_of(refresh(guest, new["refreshToken"]), 401, "refresh_token_invalid")

    def test_a_lost_answer_is_forgiven(self, guest: Client, house: House):
        login = log_in(guest, house)
        lost = body_of(refresh(guest, login["refreshToken"]))
        assert body_of(refresh(guest, login["refreshToken"]))["refreshToken"] == lost["refreshToken"]

    def test_no_access_token_is_needed_nor_will_one_do(self, guest: Client, house: House):
        login = log_in(guest, house)
        problem_of(refresh(guest, login["token"][:200]), 401, "refresh_token_invalid")
        house.clock.advance(timedelta(days=1))
        body_of(refresh(guest, login["refreshToken"]))

    @pytest.mark.parametrize("token", [None, "", 1, ["x"], {"$ne": ""}, "x" * 201])
    def test_what_is_no_text_of_a_fitting_length(self, guest: Client, token: object):
        assert faulty_fields(refresh(guest, token)) == {"refreshToken"}

    @pytest.mark.parametrize("token", ["x", "rt_", "rt_" + "A" * 43, "é", "' OR 1=1 --", "\x7f"])
    def test_what_is_none_of_ours(self, guest: Client, token: str):
        problem_of(refresh(guest, token), 401, "refresh_token_invalid")


def test_a_locked_account(guest: Client, api: Api, house: House):
    principal = house.user_with_password(ASHA, "the password of Asha")
    login = log_in(guest, house)
    house.administration.lock_user(principal.user_id, reason="spam")
    locked = api.client(login["token"])
    for answer in (
        locked.get("/user/me"),
        locked.get("/chatroom"),
        guest.post("/auth/login", {"mobileNumber": ASHA, "password": "the password of Asha"}),
        guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": house.code(ASHA)}),
    ):
        problem_of(answer, 403, "account_locked")
        assert "WWW-Authenticate" not in answer.headers
    problem_of(refresh(guest, login["refreshToken"]), 401, "refresh_token_invalid")
    body_of(locked.post("/auth/logout"))


class TestLoggingOut:
    """POST /auth/logout."""

    @pytest.mark.parametrize(
        ("request_", "left"),
        [({}, [0, 2]), ({"json": {}}, [0, 2]), ({"json": {"scope": "this"}}, [0, 2]),
         ({"json": {"scope": "others"}}, [1]), ({"json": {"scope": "all"}}, [])],
    )  # fmt: skip
    def test_what_was_meant_ends_at_once(self, api: Api, request_: dict[str, Any], left: list[int]):
        clients = [api.log_in(ASHA) for _ in range(3)]
        body_of(clients[1].send("POST", "/auth/logout", **request_))
        answers = [client.get("/user/me").status_code for client in clients]
        assert [number for number, status in enumerate(answers) if status == 200] == left

    def test_its_refresh_token_ends_with_it(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house)
        body_of(api.client(login["token"]).send("POST", "/auth/logout"))
        problem_of(refresh(guest, login["refreshToken"]), 401, "refresh_token_invalid")

    @pytest.mark.parametrize("with_access_token", [True, False])
    def test_an_expired_access_token_does_not_keep_anybody_logged_in(
        self, guest: Client, api: Api, house: House, with_access_token: bool
    ):
        login = log_in(guest, house)
        house.clock.advance(timedelta(hours=1))
        client = api.client(login["token"]) if with_access_token else guest
        for _ in range(2):
            body_of(client.post("/auth/logout", {"refreshToken": login["refreshToken"]}))
        problem_of(refresh(guest, login["refreshToken"]), 401, "refresh_token_invalid")

    def test_an_expired_access_token_alone_will_do(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house)
        house.clock.advance(timedelta(hours=1))
        body_of(api.client(login["token"]).send("POST", "/auth/logout"))
        problem_of(refresh(guest, login["refreshToken"]), 401, "refresh_token_invalid")

    def test_it_does_not_end_other_sessions(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house)
        house.clock.advance(timedelta(hours=1))
        problem_of(api.client(login["token"]).post("/auth/logout", {"scope": "all"}), 401, "token_expired")
        body_of(refresh(guest, login["refreshToken"]))

    @pytest.mark.parametrize("scope", ["", "THIS", "everybody", None, 1, ["all"]])
    def test_any_other_scope_is_refused(self, asha: Client, scope: object):
        assert faulty_fields(asha.post("/auth/logout", {"scope": scope})) == {"scope"}
        body_of(asha.get("/user/me"))

    def test_a_guest_has_nothing_to_end(self, guest: Client):
        problem_of(guest.send("POST", "/auth/logout"), 401, "token_invalid")


class TestWhereOneIsLoggedIn:
    """/auth/sessions."""

    def test_the_list(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house, headers={"User-Agent": "A phone/1.0"})
        house.clock.advance(timedelta(minutes=1))
        other = api.log_in(ASHA)
        first, second = body_of(other.get("/auth/sessions"))
        assert (first["current"], second["current"]) == (True, False)
        assert (second["device"], second["method"]) == ("A phone/1.0", "otp")
        assert second["startedAt"] == second["lastUsedAt"] == "2026-03-02T09:30:00Z"
        body_of(refresh(guest, login["refreshToken"]))
        assert body_of(other.get("/auth/sessions"))[1]["lastUsedAt"] > second["lastUsedAt"]

    def test_one_is_ended_from_another(self, api: Api):
        phone, laptop = api.log_in(ASHA), api.log_in(ASHA)
        stolen = next(line["id"] for line in body_of(laptop.get("/auth/sessions")) if not line["current"])
        assert laptop.send("DELETE", f"/auth/sessions/{stolen}").status_code == 204
        problem_of(phone.get("/user/me"), 401, "token_invalid")
        problem_of(laptop.send("DELETE", f"/auth/sessions/{stolen}"), 404, "session_not_found")
        assert len(body_of(laptop.get("/auth/sessions"))) == 1

    def test_a_foreign_one_is_as_one_that_never_was(self, asha: Client, ravi: Client):
        [mine] = body_of(asha.get("/auth/sessions"))
        foreign = problem_of(ravi.send("DELETE", f"/auth/sessions/{mine['id']}"), 404, "session_not_found")
        missing = problem_of(ravi.send("DELETE", f"/auth/sessions/{'0' * 8}-0000-0000-0000-{'0' * 12}"), 404, "session_not_found")  # fmt: skip  # noqa: E501
        assert {**foreign, "requestId": ""} == {**missing, "requestId": ""}
        body_of(asha.get("/user/me"))

    @pytest.mark.parametrize("session_id", ["1", "me", "all", "*", "%00", "9" * 4_000])
    def test_an_id_that_is_none(self, asha: Client, session_id: str):
        problem_of(asha.send("DELETE", f"/auth/sessions/{session_id}"), 404, "not_found")

    def test_a_device_cannot_smuggle_anything_in(self, guest: Client, api: Api, house: House):
        login = log_in(guest, house, environ_overrides={"HTTP_USER_AGENT": "<b>\x1b[2J\x07" + "x" * 5_000})
        [line] = body_of(api.client(login["token"]).get("/auth/sessions"))
        assert line["device"].startswith("<b>[2Jx")
        assert len(line["device"]) == 200
