"""The flow of both source documents, as a newcomer goes through it over HTTP against what `make run` starts."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.service import Person, Service, running, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("flow")) as started:
        yield started


def test_from_sign_up_to_the_reply(service):
    person = Person(service)

    signed_up = person.post("/auth/signup", 201, mobileNumber=person.number, name="Ada")
    assert signed_up["user"]["mobileNumber"] == person.number
    login = person.log_in_with(person.code("/auth/send-otp"))
    assert login["tokenType"] == "Bearer"
    assert login["user"]["id"] == signed_up["user"]["id"]

    room = person.open_room("Sums")
    reply = person.sent("How much is two and two, asks Ada?", room)

    (answer,) = until("the reply is there", lambda: [one for one in person.replies(room) if one["status"] == "done"])
    assert answer["id"] == reply
    assert "How much is two and two, asks Ada?" in answer["content"]
    assert "offline" in answer["content"]
    conversation = person.get(f"/chatroom/{room}")
    assert conversation["name"] == "Sums"
    assert [(one["role"], one["content"]) for one in conversation["messages"]] == [
        ("user", "How much is two and two, asks Ada?"),
        ("bot", answer["content"]),
    ]

    me = person.get("/user/me")
    assert (me["name"], me["mobileNumber"], me["tier"]) == ("Ada", person.number, "basic")
    usage = person.get("/user/usage")
    assert (usage["tier"], usage["limit"], usage["used"], usage["remaining"]) == ("basic", 5, 1, 4)
    assert me["usage"] == usage
    plan_status = person.get("/subscription/status")
    assert (plan_status["tier"], plan_status["plan"], plan_status["status"]) == ("basic", "Basic", None)


def test_the_list_of_rooms_is_cached_until_it_changes(service):
    person = Person(service).log_in()

    def listed() -> tuple[str, list[str]]:
        answer = person.http.get("/chatroom")
        return answer.headers["X-Cache"], [room["name"] for room in answer.json()]

    assert listed() == ("miss", ["Everything"])
    assert listed() == ("hit", ["Everything"])
    person.open_room("Something else")
    assert listed() == ("miss", ["Something else", "Everything"])
    assert listed() == ("hit", ["Something else", "Everything"])


def test_the_sixth_prompt_of_the_day_is_refused(service):
    person = Person(service).log_in()
    replies = [person.sent(f"Prompt number {number} of the day") for number in range(1, 6)]

    refused = person.send("One prompt more than the day has")

    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    problem = refused.json()
    assert problem["code"] == "daily_quota_exceeded"
    assert (problem["status"], problem["limit"], problem["used"]) == (429, 5, 5)
    assert [person.reply(reply)["status"] for reply in replies] == ["done"] * 5
    assert [one["id"] for one in person.replies()] == replies
    assert person.used() == 5


def test_a_forgotten_password_is_changed_after_logging_in_with_the_code(service):
    person = Person(service)
    service.secrets |= {"Correct-Horse-1", "Battery-Staple-2"}
    person.log_in_with(person.code("/auth/forgot-password"))
    person.post("/auth/change-password", 200, newPassword="Correct-Horse-1")

    person.http.headers.pop("Authorization")
    person.logged_in(person.post("/auth/login", 200, mobileNumber=person.number, password="Correct-Horse-1"))
    assert person.get("/user/me")["mobileNumber"] == person.number
    person.post("/auth/login", 401, mobileNumber=person.number, password="Battery-Staple-2")
    # This login is not one by code: now the old password has to be given.
    person.post("/auth/change-password", 403, newPassword="Battery-Staple-2")
    person.post("/auth/change-password", 200, newPassword="Battery-Staple-2", currentPassword="Correct-Horse-1")
    person.post("/auth/login", 200, mobileNumber=person.number, password="Battery-Staple-2")


def test_a_forgotten_password_is_reset_with_the_code(service):
    person = Person(service)
    service.secrets |= {"Tr0ubador-and-3"}
    person.log_in()
    code = person.code("/auth/forgot-password")
    person.post("/auth/reset-password", 200, mobileNumber=person.number, otp=code, newPassword="Tr0ubador-and-3")

    assert person.http.get("/user/me").status_code == 401, "every session has ended"
    person.post("/auth/reset-password", 401, mobileNumber=person.number, otp=code, newPassword="Tr0ubador-and-3")
    person.logged_in(person.post("/auth/login", 200, mobileNumber=person.number, password="Tr0ubador-and-3"))
    assert person.get("/user/me")["mobileNumber"] == person.number


def test_one_number_in_several_spellings_is_one_account(service):
    person = Person(service)
    digits = person.number[3:]
    spaced, bare = f"+91 {digits[:5]} {digits[5:]}", f"91{digits}"
    service.secrets |= {spaced, f"{digits[:5]} {digits[5:]}"}

    code = person.code("/auth/send-otp", spaced)
    by_bare = person.logged_in(person.post("/auth/verify-otp", 200, mobileNumber=bare, otp=code))

    assert by_bare["user"]["mobileNumber"] == person.number
    for spelling in (spaced, bare, digits, person.number):
        refused = person.post("/auth/signup", 409, mobileNumber=spelling)
        assert refused["code"] == "phone_taken"


def test_two_people_who_sign_up_with_one_number_at_once_are_one(service):
    person = Person(service)

    def sign_up(_: int) -> int:
        return person.http.post("/auth/signup", json={"mobileNumber": person.number}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(sign_up, range(8))) == [201] + [409] * 7


def test_where_to_look(service):
    with service.http() as http:
        home = http.get("/").json()
        assert home["message"] == "Home Route"
        assert http.get("/health/live").json() == {"status": "ok"}
        assert http.get("/health/ready").json() == {"status": "ok", "degraded": [], "reasons": {}}
        document = http.get("/openapi.json").json()
        assert document["openapi"].startswith("3.1")
        assert "/chatroom/{chatroomId}/message" in document["paths"]
        docs = http.get("/docs", follow_redirects=True)
        assert docs.status_code == 200
        assert docs.headers["Content-Type"].startswith("text/html")
        own = re.findall(r'(?:src|href)="([^"]+)"', docs.text)
        assert own
        assert not [place for place in own if "//" in place], "nothing comes from another server"
        for link in home["links"].values():
            assert http.get(link, follow_redirects=True).status_code == 200, link
    said = service.said()
    assert service.base in said
    assert f"{service.base}/docs" in said
    assert "The offline model answers" in said


def test_a_second_start_finds_everything_again(service):
    person = Person(service).log_in()
    service.secrets.add("Kept-over-night-4")
    person.post("/auth/change-password", 200, newPassword="Kept-over-night-4")
    reply = person.reply(person.sent("Do you remember me tomorrow?"))

    assert service.stop() == 0
    service.start()

    assert "creating the database" not in service.said().rpartition("stopped")[2]
    assert person.get("/user/me")["mobileNumber"] == person.number, "the old token is still good"
    person.logged_in(person.post("/auth/login", 200, mobileNumber=person.number, password="Kept-over-night-4"))
    assert [room["id"] for room in person.get("/chatroom")] == [person.room]
    assert person.replies() == [reply]
    assert person.used() == 1


def test_nothing_secret_is_written_anywhere_but_into_the_database(service):
    # Whatever the tests above left behind is looked through as well.
    person = Person(service)
    service.secrets |= {"Not-for-your-eyes-5", "Ada Lovelace of London", "ada@analytical.example"}
    body = {"mobileNumber": person.number, "name": "Ada Lovelace of London", "email": "ada@analytical.example"}
    person.post("/auth/signup", 201, **body, password="Not-for-your-eyes-5")
    person.post("/auth/signup", 409, **body)
    person.code("/auth/forgot-password")
    person.post("/auth/verify-otp", 401, mobileNumber=person.number, otp="000000")
    person.log_in()
    person.reply(person.sent("Nobody but me and the model may read this"))
    person.http.post(f"/chatroom/{person.room}/message", content=b'{"message": "Nobody but me and the model may read')
    person.http.get(f"/chatroom?mobileNumber={person.number}")
    person.http.get(f"/nowhere/{person.number}")

    told = [*service.secrets, *(path.read_text().strip() for path in secret_files(service))]
    assert len(told) > 10
    logs = service.logs()
    assert "database system is ready" in logs
    assert '"event":"reply_written"' in logs
    assert [secret for secret in told if stands_in(logs, secret)] == []
    # Redis is the way that chunks of replies take, and this model repeats what it is told. Nothing else is there.
    told = [secret for secret in told if secret not in service.messages]
    assert len(told) > 10
    remembered = everything_in_redis(service)
    assert "otp:code:" in remembered
    assert "reply:stream:" in remembered
    assert [secret for secret in told if stands_in(remembered, secret)] == []
    assert_messages_are_only_in_streams_that_expire(service)


def secret_files(service: Service) -> list[Path]:
    return [service.data_dir / name for name in ("jwt_secret", "postgres.password", "valkey.password")]


def stands_in(text: str, secret: str) -> bool:
    if secret.isdigit():
        # A code has six digits, and so have many fractions of a second.
        return re.search(rf"(?<![\w.]){secret}(?!\w)", text) is not None
    return secret in text


def assert_messages_are_only_in_streams_that_expire(service: Service) -> None:
    for key, value in keys_of_redis(service).items():
        if key.startswith(b"reply:stream:"):
            with service.redis() as redis:
                assert 0 < redis.ttl(key) <= 660
        else:
            assert [text for text in service.messages if text in value] == [], key


def keys_of_redis(service: Service) -> dict[bytes, str]:
    readers: dict[object, str] = {b"string": "GET", b"hash": "HGETALL", b"set": "SMEMBERS"}
    readers |= {b"list": "LRANGE 0 -1", b"zset": "ZRANGE 0 -1", b"stream": "XRANGE - +"}
    found = {}
    with service.redis() as redis:
        for key in redis.scan_iter():
            command, *options = readers[redis.type(key)].split()
            found[key] = repr(redis.execute_command(command, key, *options))
    return found


def everything_in_redis(service: Service) -> str:
    """All keys and values, and what the append-only file still knows of earlier ones."""
    found = [f"{key!r}: {value}" for key, value in keys_of_redis(service).items()]
    files = [path for path in (service.data_dir / "valkey").rglob("*") if path.is_file()]
    assert files
    return "\n".join([*found, *(path.read_bytes().decode("latin-1") for path in files)])
