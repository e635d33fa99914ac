"""/auth: signing up, one-time passwords, passwords."""

from datetime import timedelta
from uuid import UUID

import pytest

from domain.errors import DependencyDown
from domain.one_time_password import Purpose
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, RAVI, House

WRONG = "000000"
PASSWORD = "correct horse battery"


def test_signing_up_gives_the_account(guest: Client):
    answer = guest.post("/auth/signup", {"mobileNumber": "1234567890", "name": "Asha", "email": "asha@example.com"})
    body = body_of(answer, 201)
    assert body["user"] == {
        "id": str(UUID(body["user"]["id"])),
        "mobileNumber": "+911234567890",
        "name": "Asha",
        "email": "asha@example.com",
        "createdAt": "2026-03-02T09:30:00Z",
    }
    assert body["message"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_signing_up_takes_a_number_alone(guest: Client):
    user = body_of(guest.post("/auth/signup", {"mobileNumber": ASHA}), 201)["user"]
    assert (user["name"], user["email"]) == (None, None)


@pytest.mark.parametrize("again", [ASHA, "919876543210", "098765 43210", " +91 98765-43210 "])
def test_a_number_signs_up_once_however_it_is_written(guest: Client, house: House, again: str):
    guest.post("/auth/signup", {"mobileNumber": ASHA})
    problem_of(guest.post("/auth/signup", {"mobileNumber": again}), 409, "phone_taken")
    assert len(house.database.tables.users) == 1


@pytest.mark.parametrize(
    ("body", "faulty"),
    [
        ({}, {"mobileNumber"}),
        ({"mobileNumber": "12"}, {"mobileNumber"}),
        ({"mobileNumber": "call me"}, {"mobileNumber"}),
        ({"mobileNumber": ""}, {"mobileNumber"}),
        ({"mobileNumber": None}, {"mobileNumber"}),
        ({"mobileNumber": 1234567890}, {"mobileNumber"}),
        ({"mobileNumber": "1" * 33}, {"mobileNumber"}),
        ({"mobileNumber": ASHA, "name": ""}, {"name"}),
        ({"mobileNumber": ASHA, "name": "n" * 101}, {"name"}),
        ({"mobileNumber": ASHA, "email": "nobody"}, {"email"}),
        ({"mobileNumber": ASHA, "email": f"{'a' * 250}@example.com"}, {"email"}),
        ({"mobileNumber": ASHA, "password": "short"}, {"password"}),
        ({"mobileNumber": ASHA, "password": "p" * 129}, {"password"}),
        ({"mobileNumber": 1, "name": 2, "email": 3, "password": 4}, {"mobileNumber", "name", "email", "password"}),
    ],
)
def test_signing_up_names_each_faulty_field(guest: Client, house: House, body: object, faulty: set[str]):
    assert faulty_fields(guest.post("/auth/signup", body)) == faulty
    assert not house.database.tables.users


def test_users_cannot_make_themselves_pro_or_verified(guest: Client, house: House):
    wish = {"tier": "pro", "plan": "Pro", "verifiedAt": "2020-01-01T00:00:00Z", "id": str(UUID(int=7)), "isAdmin": True}
    user = body_of(guest.post("/auth/signup", {"mobileNumber": ASHA, "password": PASSWORD, **wish}), 201)["user"]
    assert user["id"] != wish["id"]
    [stored] = house.database.tables.users.values()
    assert stored.verified_at is None
    assert not house.database.tables.subscriptions
    login = guest.post("/auth/login", {"mobileNumber": ASHA, "password": PASSWORD})
    problem_of(login, 401, "credentials_invalid")


@pytest.mark.parametrize("path", ["/auth/send-otp", "/auth/forgot-password"])
class TestSendingACode:
    """POST /auth/send-otp and /auth/forgot-password."""

    def test_known_and_unknown_numbers_get_the_same_answer(self, guest: Client, house: House, path: str):
        guest.post("/auth/signup", {"mobileNumber": ASHA})
        known, unknown = guest.post(path, {"mobileNumber": ASHA}), guest.post(path, {"mobileNumber": RAVI})
        assert body_of(known) == body_of(unknown)
        assert [phone.e164 for phone, _, _ in house.outbox.sent] == [ASHA, RAVI]

    def test_the_code_is_not_in_the_answer(self, guest: Client, house: House, path: str):
        answer = guest.post(path, {"mobileNumber": ASHA})
        body = body_of(answer)
        assert body == {"message": body["message"], "expiresIn": 300, "resendIn": 30}
        assert house.outbox.last_code() not in answer.text

    def test_only_delivery_by_response_shows_the_code(self, path: str):
        api = Api(House(shows_codes=True))
        body = body_of(api.guest().post(path, {"mobileNumber": ASHA}))
        assert body["otp"] == api.house.outbox.last_code()

    def test_a_second_one_has_to_wait(self, guest: Client, house: House, path: str):
        guest.post(path, {"mobileNumber": ASHA})
        house.clock.advance(timedelta(seconds=10))
        answer = guest.post(path, {"mobileNumber": "98765 43210"})
        assert problem_of(answer, 429, "otp_resend_too_soon")["retryAfter"] == 20
        assert answer.headers["Retry-After"] == "20"
        assert len(house.outbox.sent) == 1
        house.clock.advance(timedelta(seconds=20))
        body_of(guest.post(path, {"mobileNumber": ASHA}))

    def test_without_the_store_nothing_is_sent(
        self, guest: Client, house: House, monkeypatch: pytest.MonkeyPatch, path: str
    ):
        def down(*_: object) -> None:
            raise DependencyDown("otp_store")

        monkeypatch.setattr(house.otp_store, "put", down)
        answer = guest.post(path, {"mobileNumber": ASHA})
        assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "otp_store"
        assert answer.headers["Retry-After"] == "2"
        assert not house.outbox.sent

    @pytest.mark.parametrize("number", ["", "12", "nobody", 5, None, ["+919876543210"], "9" * 5000])
    def test_what_is_no_number_gets_422(self, guest: Client, house: House, path: str, number: object):
        assert faulty_fields(guest.post(path, {"mobileNumber": number})) == {"mobileNumber"}
        assert not house.outbox.sent


class TestVerifyingACode:
    def test_the_right_code_logs_in(self, guest: Client, house: House):
        answer = guest.post("/auth/verify-otp", {"mobileNumber": "9876543210", "otp": house.code(ASHA)})
        body = body_of(answer)
        assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 900)
        assert body["user"]["mobileNumber"] == ASHA
        me = guest.get("/user/me", headers={"Authorization": f"Bearer {body['token']}"})
        assert body_of(me)["id"] == body["user"]["id"]
        assert answer.headers["Cache-Control"] == "no-store"

    def test_it_logs_into_the_account_that_signed_up(self, guest: Client, house: House):
        signed_up = body_of(guest.post("/auth/signup", {"mobileNumber": ASHA, "name": "Asha"}), 201)["user"]
        login = body_of(guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": house.code(ASHA)}))
        assert login["user"] == signed_up

    def test_a_code_counts_once(self, guest: Client, house: House):
        proof = {"mobileNumber": ASHA, "otp": house.code(ASHA)}
        login = body_of(guest.post("/auth/verify-otp", proof))
        # Sent twice: the answer may have been lost.
        again = body_of(guest.post("/auth/verify-otp", proof))
        assert again["refreshToken"] == login["refreshToken"]
        assert len(house.database.tables.sessions) == 1
        problem_of(guest.post("/auth/verify-otp", proof, headers={"User-Agent": "x"}), 401, "otp_invalid")
        body_of(guest.post("/auth/refresh", {"refreshToken": login["refreshToken"]}))
        problem_of(guest.post("/auth/verify-otp", proof), 401, "otp_invalid")

    @pytest.mark.parametrize("zero", ["٠", "०", "０", "۰"])
    def test_the_digits_of_any_script_are_digits(self, guest: Client, house: House, zero: str):
        code = house.code(ASHA)
        written = "".join(chr(ord(zero) + int(digit)) for digit in code)
        body_of(guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": f" {written[:3]}-{written[3:]} "}))

    @pytest.mark.parametrize("otp", ["12345", "abcdef", "12345678901", "½23456", "-"])
    def test_what_can_be_no_code_is_no_try(self, guest: Client, house: House, otp: str):
        code = house.code(ASHA)
        for _ in range(6):
            assert faulty_fields(guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": otp})) == {"otp"}
        body_of(guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": code}))

    def test_wrong_codes_are_counted_and_then_the_right_one_is_void(self, guest: Client, house: House):
        code = house.code(ASHA)
        for left in (4, 3, 2, 1, 0):
            answer = guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": WRONG})
            assert problem_of(answer, 401, "otp_invalid")["attemptsLeft"] == left
        answer = guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": code})
        assert str(problem_of(answer, 429, "otp_locked")["retryAfter"]) == answer.headers["Retry-After"]
        assert not house.database.tables.sessions

    def test_an_old_code_is_void(self, guest: Client, house: House):
        proof = {"mobileNumber": ASHA, "otp": house.code(ASHA)}
        house.clock.advance(timedelta(minutes=5))
        problem_of(guest.post("/auth/verify-otp", proof), 401, "otp_invalid")

    def test_the_code_of_another_number_is_wrong(self, guest: Client, house: House):
        house.code(RAVI)
        answer = guest.post("/auth/verify-otp", {"mobileNumber": RAVI, "otp": house.code(ASHA)})
        problem_of(answer, 401, "otp_invalid")
        assert not house.database.tables.users

    @pytest.mark.parametrize(
        ("body", "faulty"),
        [
            ({}, {"mobileNumber", "otp"}),
            ({"mobileNumber": ASHA}, {"otp"}),
            ({"mobileNumber": ASHA, "otp": 100001}, {"otp"}),
            ({"mobileNumber": ASHA, "otp": ""}, {"otp"}),
            ({"mobileNumber": ASHA, "otp": None}, {"otp"}),
            ({"otp": WRONG}, {"mobileNumber"}),
        ],
    )
    def test_each_faulty_field_is_named(self, guest: Client, body: object, faulty: set[str]):
        assert faulty_fields(guest.post("/auth/verify-otp", body)) == faulty

    def test_without_the_store_no_user_logs_in(self, guest: Client, house: House, monkeypatch: pytest.MonkeyPatch):
        code = house.code(ASHA)

        def down(*_: object, **__: object) -> None:
            raise DependencyDown("otp_store")

        monkeypatch.setattr(house.otp_store, "redeem_once", down)
        answer = guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": code})
        problem_of(answer, 503, "dependency_unavailable")
        assert not house.database.tables.sessions


class TestLoggingInWithAPassword:
    """POST /auth/login."""

    def test_number_and_password_log_in(self, guest: Client, house: House):
        house.user_with_password(ASHA, PASSWORD)
        body = body_of(guest.post("/auth/login", {"mobileNumber": "9876543210", "password": PASSWORD}))
        assert body["user"]["mobileNumber"] == ASHA
        body_of(guest.get("/user/me", headers={"Authorization": f"bearer {body['token']}"}))

    def test_wrong_password_no_password_and_no_account_look_alike(self, guest: Client, house: House):
        house.user_with_password(ASHA, PASSWORD)
        house.user(RAVI)
        problems = [
            problem_of(
                guest.post("/auth/login", {"mobileNumber": phone, "password": wrong}), 401, "credentials_invalid"
            )
            for phone, wrong in ((ASHA, "wrong"), (RAVI, PASSWORD), ("+14155552671", PASSWORD))
        ]
        for problem in problems:
            del problem["requestId"]
        assert problems[0] == problems[1] == problems[2]

    def test_each_faulty_field_is_named(self, guest: Client):
        assert faulty_fields(guest.post("/auth/login", {"password": 1})) == {"mobileNumber", "password"}


class TestResettingAPassword:
    """POST /auth/reset-password."""

    def test_the_code_sets_the_password_and_ends_every_session(self, guest: Client, asha: Client, house: House):
        code = house.code(ASHA, Purpose.PASSWORD_RESET)
        reset = {"mobileNumber": ASHA, "otp": code, "newPassword": PASSWORD}
        assert body_of(guest.post("/auth/reset-password", reset))["message"]
        problem_of(asha.get("/user/me"), 401, "token_invalid")
        body_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": PASSWORD}))
        problem_of(guest.post("/auth/reset-password", reset), 401, "otp_invalid")

    def test_a_login_code_does_not_reset(self, guest: Client, house: House):
        reset = {"mobileNumber": ASHA, "otp": house.code(ASHA), "newPassword": PASSWORD}
        problem_of(guest.post("/auth/reset-password", reset), 401, "otp_invalid")

    def test_wrong_codes_are_counted(self, guest: Client, house: House):
        house.code(ASHA, Purpose.PASSWORD_RESET)
        reset = {"mobileNumber": ASHA, "otp": WRONG, "newPassword": PASSWORD}
        for _ in range(5):
            problem_of(guest.post("/auth/reset-password", reset), 401, "otp_invalid")
        problem_of(guest.post("/auth/reset-password", reset), 429, "otp_locked")

    def test_a_short_password_costs_no_attempt(self, guest: Client, house: House):
        reset = {"mobileNumber": ASHA, "otp": house.code(ASHA, Purpose.PASSWORD_RESET)}
        for password in ("short", "p" * 129, 12345678):
            answer = guest.post("/auth/reset-password", {**reset, "newPassword": password})
            assert faulty_fields(answer) == {"newPassword"}
        body_of(guest.post("/auth/reset-password", {**reset, "newPassword": PASSWORD}))

    def test_each_faulty_field_is_named(self, guest: Client):
        assert faulty_fields(guest.post("/auth/reset-password", {})) == {"mobileNumber", "otp", "newPassword"}


class TestChangingAPassword:
    """POST /auth/change-password."""

    def test_a_fresh_login_by_code_needs_no_more_proof(self, asha: Client, guest: Client):
        assert body_of(asha.post("/auth/change-password", {"newPassword": PASSWORD}))["message"]
        body_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": PASSWORD}))

    def test_the_flow_of_the_sources(self, guest: Client, api: Api, house: House):
        guest.post("/auth/forgot-password", {"mobileNumber": ASHA})
        proof = {"mobileNumber": ASHA, "otp": house.outbox.last_code()}
        token = body_of(guest.post("/auth/verify-otp", proof))["token"]
        body_of(api.client(token).post("/auth/change-password", {"newPassword": PASSWORD}))
        body_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": PASSWORD}))

    def test_a_bare_old_token_is_not_enough(self, asha: Client, house: House):
        house.clock.advance(timedelta(minutes=11))
        answer = asha.post("/auth/change-password", {"newPassword": PASSWORD})
        problem_of(answer, 403, "reauthentication_needed")
        [user] = house.database.tables.users.values()
        assert user.password_hash is None

    def test_a_login_by_password_is_not_enough(self, guest: Client, api: Api, house: House):
        house.user_with_password(ASHA, PASSWORD)
        token = body_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": PASSWORD}))["token"]
        answer = api.client(token).post("/auth/change-password", {"newPassword": "another password"})
        problem_of(answer, 403, "reauthentication_needed")

    def test_the_current_password_is_proof(self, asha: Client, house: House):
        house.user_with_password(ASHA, PASSWORD)
        answer = asha.post("/auth/change-password", {"newPassword": "n" * 8, "currentPassword": "wrong"})
        problem_of(answer, 401, "token_invalid")  # setting the password ended this session
        fresh = Api(house).log_in(ASHA)
        house.clock.advance(timedelta(minutes=11))
        change = {"newPassword": "another password", "currentPassword": "wrong"}
        problem_of(fresh.post("/auth/change-password", change), 401, "credentials_invalid")
        body_of(fresh.post("/auth/change-password", {**change, "currentPassword": PASSWORD}))

    def test_a_reset_code_is_proof(self, asha: Client, house: House):
        house.clock.advance(timedelta(minutes=11))
        change = {"newPassword": PASSWORD, "otp": WRONG}
        code = house.code(ASHA, Purpose.PASSWORD_RESET)
        assert problem_of(asha.post("/auth/change-password", change), 401, "otp_invalid")["attemptsLeft"] == 4
        body_of(asha.post("/auth/change-password", {**change, "otp": code}))

    def test_other_sessions_end_and_this_one_goes_on(self, asha: Client, api: Api):
        other = api.log_in(ASHA)
        body_of(other.get("/user/me"))
        body_of(asha.post("/auth/change-password", {"newPassword": PASSWORD}))
        body_of(asha.get("/user/me"))
        problem_of(other.get("/user/me"), 401, "token_invalid")

    def test_a_guest_is_not_told_what_a_body_should_look_like(self, guest: Client):
        assert "errors" not in problem_of(guest.post("/auth/change-password", {}), 401, "token_invalid")

    def test_each_faulty_field_is_named(self, asha: Client):
        change = {"newPassword": "short", "currentPassword": "", "otp": 1}
        answer = asha.post("/auth/change-password", change)
        assert faulty_fields(answer) == {"newPassword", "currentPassword", "otp"}
