"""What checks work with: a client, and users of their own who are erased in the end."""

import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any, TypeVar

from verify import bodies
from verify.http import Exchange, Http
from verify.masking import Masker
from verify.outcomes import Failed, LeftOut

T = TypeVar("T")

ADVICE = "give access tokens of two users, VERIFY_TOKEN and VERIFY_TOKEN_2"
CODE = re.compile(r'"(?:otp|code)"\s*:\s*"?\d')
LONGEST_PAUSE = 90  # seconds; limits are mostly of a minute
_INTERVAL = 0.1


@dataclass(frozen=True)
class Options:
    """What the command line says. ``reply_within``: seconds a reply may take. ``tokens``: of users who exist."""

    tokens: tuple[str, ...] = ()
    # Of Delhi, where no subscriber's number begins with 0.
    number_prefix: str = "+91110"
    number_digits: int = 12
    quota: int = 5
    origin: str = ""
    webhook_secret: str = ""
    payments_are_tests: bool = False
    reply_within: float = 60.0
    plain: bool = False


@dataclass
class User:
    """A user with an access token. ``is_ours``: made by this run, and erased in the end."""

    http: Http
    token: str
    number: str = ""
    password: str = ""
    refresh_token: str = ""
    is_ours: bool = True
    rooms: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, **options: Any) -> Exchange:
        return self.http.send(method, path, token=self.token, **options)

    def get(self, path: str, **options: Any) -> Exchange:
        return self.send("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> Exchange:
        return self.send("POST", path, body={} if body is None else body, **options)

    def open_room(self, name: str) -> str:
        """The id of a new chatroom."""
        room = bodies.text(self.post("/chatroom", {"name": name}).must_succeed(), "id", "_id", "chatroomId")
        self.rooms.append(room)
        return room

    def say(self, room: str, words: str, *, key: str = "") -> Exchange:
        """Send a message, with an Idempotency-Key if there is one."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.post(f"/chatroom/{room}/message", {"message": words}, headers=headers)

    def entries(self, room: str) -> list[dict[str, Any]]:
        """Messages and replies of a chatroom, as it shows them."""
        return bodies.entries(self.get(f"/chatroom/{room}").must_be(200), "messages")


@dataclass
class World:
    """The service, and who uses it."""

    http: Http
    options: Options
    masker: Masker
    users: list[User] = field(default_factory=list)
    erased: int = 0
    """Users whom checks have erased."""
    signed_up: list[str] = field(default_factory=list)
    """Numbers of users, also of those who could not log in afterwards."""
    codes_are_shown: bool = False
    why_no_codes: str = ""

    def get(self, path: str, **options: Any) -> Exchange:
        return self.http.send("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> Exchange:
        return self.http.send("POST", path, body=body, **options)

    def post_patiently(self, path: str, body: object) -> Exchange:
        """As post, and once more after Retry-After where requests are limited."""
        answer = self.post(path, body)
        wait = answer.header("Retry-After")
        if answer.status != 429 or not wait.isdigit() or int(wait) > LONGEST_PAUSE:
            return answer
        self.pause(int(wait) + 1)
        return self.post(path, body)

    # Users.

    def user(self, *, prompts: int = 0) -> User:
        """A user who may send so many messages today: a new user, or the first who can of those who were given."""
        return self._given(prompts=prompts) if self.options.tokens else self.new_user()

    def another_user(self, than: User) -> User:
        if not self.options.tokens:
            return self.new_user()
        for user in self._all_given():
            if user is not than:
                return user
        raise LeftOut("it needs a second user; give a second access token, VERIFY_TOKEN_2")

    def new_user(self, *, with_password: bool = False) -> User:
        """A user who has signed up and logged in with a code. With a password they can log in once more."""
        number, password = self.sign_up(with_password=with_password)
        return self.logged_in(self.log_in(number, self.code(number)), number, password)

    def must_make_users(self) -> None:
        """Raise LeftOut where only users who were given can be used."""
        if self.options.tokens:
            raise LeftOut("it needs new users, and users were given (VERIFY_TOKEN)")
        if not self.why_no_codes and not self.codes_are_shown:
            self._ask_for_a_code()
        if self.why_no_codes:
            raise LeftOut(self.why_no_codes)

    def sign_up(self, *, with_password: bool = False) -> tuple[str, str]:
        """A number that is new, and the password, which may be empty."""
        self.must_make_users()
        number, password = self.new_number(), self.new_password() if with_password else ""
        body = {"mobileNumber": number} | ({"password": password} if password else {})
        self.post_patiently("/auth/signup", body).must_succeed()
        self.signed_up.append(number)
        return number, password

    def new_password(self) -> str:
        password = secrets.token_urlsafe(18)
        self.masker.hide(password)
        return password

    def new_number(self) -> str:
        """A number that cannot be assigned: no stranger is sent a text message."""
        prefix = self.options.number_prefix
        digits = "".join(secrets.choice("0123456789") for _ in range(self.options.number_digits + 1 - len(prefix)))
        self.masker.hide(prefix + digits, (prefix + digits).lstrip("+"))
        return prefix + digits

    def code(self, number: str, path: str = "/auth/send-otp") -> str:
        """The one-time password of a number, from the answer."""
        code = bodies.text(self.post_patiently(path, {"mobileNumber": number}).must_succeed(), "otp", "code")
        self.masker.hide(code)
        return code

    def _ask_for_a_code(self) -> None:
        """Learn whether codes are in the answers before any user is made who could not log in."""
        answer = self.post_patiently("/auth/send-otp", {"mobileNumber": self.new_number()})
        if answer.status in {400, 422}:
            self.why_no_codes = f"numbers that cannot be assigned are refused, and no other is sent a code; {ADVICE}"
        elif answer.status < 300 and not CODE.search(answer.text):
            self.why_no_codes = f"codes are not in the answers; {ADVICE}"
        elif answer.status >= 500:
            answer.must_succeed()
        else:  # a service that sends none to strangers says so with 404
            self.codes_are_shown = True

    def log_in(self, number: str, code: str, *, device: str = "") -> Exchange:
        headers = {"User-Agent": device} if device else {}
        return self.post("/auth/verify-otp", {"mobileNumber": number, "otp": code}, headers=headers)

    def logged_in(self, answer: Exchange, number: str, password: str = "") -> User:
        """Who a login's answer is of."""
        token = bodies.text(answer.must_succeed(), "token", "accessToken", "access_token")
        body = answer.json()
        refresh_token = str(body.get("refreshToken", "")) if isinstance(body, dict) else ""
        self.masker.hide(token, refresh_token)
        user = User(self.http, token, number, password, refresh_token)
        self.users.append(user)
        return user

    def _given(self, *, prompts: int) -> User:
        users = self._all_given()
        if not prompts:
            return users[0]
        left = [self.prompts_left(user) for user in users]
        for user, number in zip(users, left, strict=True):
            if number >= prompts:
                return user
        raise LeftOut(f"the users who were given have {max(left)} prompts left today, and it needs {prompts}")

    def _all_given(self) -> list[User]:
        if not self.users:
            self.users += [User(self.http, token, is_ours=False) for token in self.options.tokens]
        return self.users

    def prompts_left(self, user: User) -> int:
        """Of a user who was given. Raises LeftOut where the service does not tell."""
        answer = user.get("/user/usage")
        if answer.status == 401:
            raise Failed("the access token that was given is not accepted")
        if answer.status != 200:
            raise LeftOut("how many prompts the user who was given has left is not told")
        remaining = answer.json().get("remaining")
        return 1_000_000 if remaining is None else int(remaining)

    # Waiting, and doing things at once.

    def wait(self, what: str, condition: Callable[[], T | None]) -> T:
        """The first true value. Raises Failed where there is none in the time that a reply may take."""
        end = time.monotonic() + self.options.reply_within
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(_INTERVAL)
        raise Failed(f"{what}: not within {self.options.reply_within:.0f} s")

    def pause(self, seconds: float) -> None:
        """Raises Failed where the run ends before."""
        self.http.left()
        time.sleep(min(seconds, max(0.0, self.http.deadline - time.monotonic())))
        self.http.left()

    def replies(self, user: User, room: str, count: int) -> list[dict[str, Any]]:
        """The entries of a chatroom once it has so many finished replies."""

        def answered() -> list[dict[str, Any]] | None:
            entries = user.entries(room)
            return entries if sum(map(bodies.is_finished_reply, entries)) >= count else None

        return self.wait(f"{count} finished replies", answered)

    def at_once(self, count: int, act: Callable[[int], T]) -> list[T]:
        """What so many threads get that begin together."""
        barrier = Barrier(count)

        def act_together(number: int) -> T:
            barrier.wait(timeout=10)
            return act(number)

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(act_together, range(count)))

    # Leaving.

    def forget(self, user: User) -> None:
        """A check has erased this user."""
        self.users.remove(user)
        self.signed_up.remove(user.number)
        self.erased += 1

    def leave(self) -> tuple[int, int, list[str]]:
        """Erase who was made, remove chatrooms of who was given. How many were made, how many erased, what stays."""
        ours = [user for user in self.users if user.is_ours]
        numbers = dict.fromkeys([*self.signed_up, *(user.number for user in ours)])
        sessions_by_number = {number: [one for one in ours if one.number == number] for number in numbers}
        erased = sum(any(self._erase(user) for user in sessions) for sessions in sessions_by_number.values())
        rest = len(sessions_by_number) - erased
        stay = [f"{rest} users whose numbers begin with {self.options.number_prefix}"] if rest else []
        for user in self.users:
            if not user.is_ours:
                stay += [f"chatroom {room}" for room in user.rooms if not _is_removed(user, room)]
        return len(sessions_by_number) + self.erased, erased + self.erased, stay

    def _erase(self, user: User) -> bool:
        try:
            if user.send("DELETE", "/user/me").status in {200, 202, 204}:
                return True
            if not user.password:
                return False
            answer = self.post("/auth/login", {"mobileNumber": user.number, "password": user.password})
            return answer.status == 200 and (
                self.http.send("DELETE", "/user/me", token=bodies.text(answer, "token")).status == 200
            )
        except Failed:
            return False


def _is_removed(user: User, room: str) -> bool:
    try:
        return user.send("DELETE", f"/chatroom/{room}").status in {200, 204, 404}
    except Failed:
        return False
