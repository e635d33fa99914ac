"""One method for each operation of the API, and what a generator leaves out: refreshing, repeating, resuming."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, TypedDict, TypeVar, Unpack, cast
from uuid import uuid4

import httpx

from gemini_chat import models

T = TypeVar("T")

ENDS = frozenset({"done", "failed", "cancelled", "removed"})
IDEMPOTENT = frozenset({"GET", "PUT", "PATCH", "DELETE"})
"""PATCH as well: its members are values to set."""


@dataclass(frozen=True)
class Tokens:
    """What a session needs to go on. Keep them where you keep secrets."""

    access: str
    refresh: str


class ProblemError(Exception):
    """The service refused a request (RFC 9457). ``code`` is stable; ``details`` is the whole problem."""

    def __init__(self, response: httpx.Response) -> None:
        is_problem = response.headers.get("Content-Type", "").startswith("application/problem+json")
        self.status = response.status_code
        self.details: dict[str, Any] = response.json() if is_problem else {}
        self.code = str(self.details.get("code", "unknown"))
        self.retry_after = _seconds(response)
        super().__init__(f"{self.status} {self.code}: {self.details.get('title', response.reason_phrase)}")


class Page(TypedDict, total=False):
    """Which part of a list."""

    limit: int
    cursor: str


class Rooms(Page, total=False):
    """Which chatrooms of a list. ``archived``: those in the archive, and no others."""

    archived: bool


class Window(TypedDict, total=False):
    """Which messages. ``wait``: for so many seconds at most, until there is a new one."""

    after: str
    before: str
    limit: int
    wait: int


class Client:
    """A session with the service. Threads may share it: one of them refreshes an expired token, and the others wait.

    ``on_tokens`` is told of new tokens, and of None when the session has ended. A request that was turned away or lost
    is repeated ``repeats`` times where that is safe, unless it has to wait for longer than ``max_wait`` seconds.
    ``language`` (RFC 9110, Accept-Language): of the titles of problems, and of the text message with a code.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens | None], None] = lambda _: None,
        repeats: int = 3,
        max_wait: float = 30.0,
        timeout: float = 60.0,
        language: str | None = None,
    ) -> None:
        self.tokens = tokens
        self._on_tokens = on_tokens
        self._repeats = repeats
        self._max_wait = max_wait
        self._refreshing = Lock()
        headers = {} if language is None else {"Accept-Language": language}
        self._http = httpx.Client(base_url=base_url, timeout=timeout, headers=headers)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Auth.

    def sign_up(self, **body: Unpack[models.SignUp]) -> models.SignedUp:
        return self._public(models.SignedUp, "/auth/signup", body)

    def send_otp(self, **body: Unpack[models.MobileNumber]) -> models.SentCode:
        return self._public(models.SentCode, "/auth/send-otp", body)

    def verify_otp(self, **body: Unpack[models.VerifyOtp]) -> models.LoggedIn:
        return self._logged_in(self._public(models.LoggedIn, "/auth/verify-otp", body))

    def log_in(self, **body: Unpack[models.LogIn]) -> models.LoggedIn:
        return self._logged_in(self._public(models.LoggedIn, "/auth/login", body))

    def forgot_password(self, **body: Unpack[models.MobileNumber]) -> models.SentCode:
        return self._public(models.SentCode, "/auth/forgot-password", body)

    def reset_password(self, **body: Unpack[models.ResetPassword]) -> models.MessageOnly:
        return self._public(models.MessageOnly, "/auth/reset-password", body)

    def change_password(self, **body: Unpack[models.ChangePassword]) -> models.MessageOnly:
        return self._post(models.MessageOnly, "/auth/change-password", body)

    # Sessions.

    def refresh_tokens(self) -> None:
        """New tokens now. There is no need to: an expired token is refreshed by the request that finds it so."""
        self._refresh(self._access())

    def log_out(self, **body: Unpack[models.LogOut]) -> models.MessageOnly:
        """Without ``scope`` this session ends."""
        answer = self._post(models.MessageOnly, "/auth/logout", body)
        if body.get("scope") != "others":
            self._keep(None)
        return answer

    def list_sessions(self) -> list[models.Session]:
        return self._get(list[models.Session], "/auth/sessions")

    def end_session(self, session_id: str) -> None:
        self._request("DELETE", f"/auth/sessions/{session_id}")

    # Chatrooms.

    def create_chatroom(
        self, *, idempotency_key: str | None = None, **body: Unpack[models.NewChatroom]
    ) -> models.ChatroomSummary:
        return self._post(models.ChatroomSummary, "/chatroom", body, _key(idempotency_key))

    def list_chatrooms(self, **query: Unpack[Rooms]) -> list[models.ChatroomSummary]:
        return self._get(list[models.ChatroomSummary], "/chatroom", query)

    def get_chatroom(self, chatroom_id: str, **query: Unpack[Page]) -> models.Conversation:
        return self._get(models.Conversation, f"/chatroom/{chatroom_id}", query)

    def search_chats(self, q: str, **query: Unpack[Page]) -> models.Found:
        """Chatrooms by name, messages and replies by their text. ``matches`` count characters, as Python does."""
        return self._get(models.Found, "/search", {"q": q, **query})

    def update_chatroom(self, chatroom_id: str, **body: Unpack[models.ChangedChatroom]) -> models.Chatroom:
        return cast(models.Chatroom, self._request("PATCH", f"/chatroom/{chatroom_id}", body=body).json())

    def delete_chatroom(self, chatroom_id: str) -> None:
        self._request("DELETE", f"/chatroom/{chatroom_id}")

    def export_chatroom(self, chatroom_id: str) -> Iterator[str]:
        """The Markdown document, part by part."""
        response = self._request("GET", f"/chatroom/{chatroom_id}/export", stream=True)
        with closing(response):
            yield from response.iter_text()

    # Messages.

    def send_message(
        self, chatroom_id: str, message: str, *, wait: int | None = None, idempotency_key: str | None = None
    ) -> models.SentMessage | models.AnsweredMessage:
        """With ``wait`` the answer comes when the reply is finished, or after so many seconds (at most 25)."""
        headers = _key(idempotency_key) | ({} if wait is None else {"Prefer": f"wait={wait}"})
        body = {"message": message}
        return self._post(models.SentMessage, f"/chatroom/{chatroom_id}/message", body, headers)

    def list_messages(self, chatroom_id: str, **query: Unpack[Window]) -> models.Messages:
        return self._get(models.Messages, f"/chatroom/{chatroom_id}/messages", query)

    def get_message(self, entry_id: str) -> models.OneEntry:
        return self._get(models.OneEntry, f"/message/{entry_id}")

    def list_replies(self, entry_id: str, **query: Unpack[Page]) -> models.Replies:
        return self._get(models.Replies, f"/message/{entry_id}/replies", query)

    def give_feedback(self, entry_id: str, **body: Unpack[models.NewFeedback]) -> models.Feedback:
        return cast(models.Feedback, self._request("PUT", f"/message/{entry_id}/feedback", body=body).json())

    def withdraw_feedback(self, entry_id: str) -> None:
        self._request("DELETE", f"/message/{entry_id}/feedback")

    def stream_reply(self, entry_id: str, *, last_event_id: str | None = None) -> Iterator[models.ReplyEvent]:
        """The events of a reply to its end. Where the connection breaks, it goes on after the last one that came."""
        failures = 0
        while True:
            headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
            try:
                response = self._request("GET", f"/message/{entry_id}/stream", headers=headers, stream=True)
                with closing(response):
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    for event in _events(response.iter_bytes()):
                        failures = 0
                        last_event_id = str(event.get("id", last_event_id))
                        yield event
                        if event["event"] in ENDS:
                            return
            except httpx.TransportError:
                if failures == self._repeats:
                    raise
            # Also where the stream ended before the reply did: the server is being restarted.
            failures = min(failures + 1, self._repeats)
            time.sleep(_pause(failures))

    def cancel_reply(self, entry_id: str) -> models.Cancelled:
        return self._post(models.Cancelled, f"/message/{entry_id}/cancel")

    def retry_reply(self, entry_id: str, *, idempotency_key: str | None = None) -> models.SentMessage:
        return self._post(models.SentMessage, f"/message/{entry_id}/retry", headers=_key(idempotency_key))

    def regenerate_reply(self, entry_id: str, *, idempotency_key: str | None = None) -> models.SentMessage:
        return self._post(models.SentMessage, f"/message/{entry_id}/regenerate", headers=_key(idempotency_key))

    # Account.

    def get_profile(self) -> models.Profile:
        return self._get(models.Profile, "/user/me")

    def update_profile(self, **body: Unpack[models.ChangedProfile]) -> models.Profile:
        return cast(models.Profile, self._request("PATCH", "/user/me", body=body).json())

    def erase_account(self) -> models.Erased:
        erased = cast(models.Erased, self._request("DELETE", "/user/me").json())
        self._keep(None)
        return erased

    def get_usage(self, *, days: int | None = None) -> models.UsageOfDays:
        return self._get(models.UsageOfDays, "/user/usage", {} if days is None else {"days": days})

    def export_account(self) -> Iterator[dict[str, Any]]:
        """All that is yours, one object after the other."""
        response = self._request("GET", "/user/export", stream=True)
        with closing(response):
            for line in _split(response.iter_bytes(), b"\n"):
                yield json.loads(line)

    # Subscription.

    def get_subscription_status(self) -> models.PlanStatus:
        return self._get(models.PlanStatus, "/subscription/status")

    def subscribe_to_pro(
        self, *, idempotency_key: str | None = None, **body: Unpack[models.Subscribe]
    ) -> models.Checkout:
        return self._post(models.Checkout, "/subscribe/pro", body, _key(idempotency_key))

    def open_portal(self, **body: Unpack[models.OpenPortal]) -> models.Portal:
        return self._post(models.Portal, "/subscription/portal", body)

    def cancel_subscription(self) -> models.PlanStatus:
        return self._post(models.PlanStatus, "/subscription/cancel")

    def resume_subscription(self) -> models.PlanStatus:
        return self._post(models.PlanStatus, "/subscription/resume")

    # How requests are sent.

    def _get(self, kind: type[T], path: str, query: Mapping[str, object] | None = None) -> T:  # noqa: ARG002
        return cast(T, self._request("GET", path, query=query).json())

    def _post(
        self,
        kind: type[T],  # noqa: ARG002 - for the type checker
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        return cast(T, self._request("POST", path, body=body, headers=headers).json())

    def _public(self, kind: type[T], path: str, body: Mapping[str, object]) -> T:  # noqa: ARG002
        return cast(T, self._send("POST", path, body=body).json())

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send with the access token; with a new one, once, if it has expired."""
        access = self._access()
        try:
            return self._send(method, path, access=access, **options)
        except ProblemError as problem:
            if problem.code != "token_expired":
                raise
        self._refresh(access)
        return self._send(method, path, access=self._access(), **options)

    def _send(
        self,
        method: str,
        path: str,
        *,
        access: str | None = None,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Send, and again where that is safe, until the service has accepted or refused."""
        headers = {**(headers or {}), **({} if access is None else {"Authorization": f"Bearer {access}"})}
        request = self._http.build_request(method, path, json=body, params=cast(Any, query), headers=headers)
        # Sent again soon, a refresh token counts once.
        is_safe = method in IDEMPOTENT or "Idempotency-Key" in headers or path == "/auth/refresh"
        for repeat in count(1):
            try:
                response = self._http.send(request, stream=stream)
            except httpx.TransportError:
                if not is_safe or repeat > self._repeats:
                    raise
                time.sleep(_pause(repeat))
                continue
            if response.is_success:
                return response
            with closing(response):
                response.read()
            problem = ProblemError(response)
            wait = self._wait(problem, repeat, is_safe=is_safe)
            if wait is None:
                raise problem
            time.sleep(wait)
        raise AssertionError

    def _wait(self, problem: ProblemError, repeat: int, *, is_safe: bool) -> float | None:
        """Seconds after which to send again; None: not at all."""
        turned_away = (
            problem.status == httpx.codes.TOO_MANY_REQUESTS
            or (is_safe and problem.status >= httpx.codes.INTERNAL_SERVER_ERROR)
            or problem.code == "idempotency_key_in_use"
        )
        wait = _pause(repeat) if problem.retry_after is None else problem.retry_after
        return wait if turned_away and repeat <= self._repeats and wait <= self._max_wait else None

    # The tokens.

    def _access(self) -> str | None:
        return self.tokens.access if self.tokens else None

    def _refresh(self, expired: str | None) -> None:
        with self._refreshing:
            if self.tokens is None or self.tokens.access != expired:
                return  # another thread has done it meanwhile, or logged out
            try:
                answer = self._send("POST", "/auth/refresh", body={"refreshToken": self.tokens.refresh})
            except ProblemError as problem:
                if problem.status == httpx.codes.UNAUTHORIZED:
                    self._keep(None)
                raise
            refreshed: models.Refreshed = answer.json()
            self._keep(Tokens(refreshed["token"], refreshed["refreshToken"]))

    def _logged_in(self, login: models.LoggedIn) -> models.LoggedIn:
        self._keep(Tokens(login["token"], login["refreshToken"]))
        return login

    def _keep(self, tokens: Tokens | None) -> None:
        self.tokens = tokens
        self._on_tokens(tokens)


def _key(given: str | None) -> dict[str, str]:
    """A key of idempotency, so that what was sent twice counts once."""
    return {"Idempotency-Key": given or str(uuid4())}


def _pause(repeat: int) -> float:
    return 0.25 * float(2**repeat)


def _seconds(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _split(chunks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    # Not iter_lines, which also breaks lines at U+2028 and others that may stand in JSON.
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(separator)
        yield from filter(None, whole)


def _events(chunks: Iterator[bytes]) -> Iterator[models.ReplyEvent]:
    """Server-Sent Events, without comments. One that did not come to its end does not count."""
    for block in _split(chunks, b"\n\n"):
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            yield cast(models.ReplyEvent, {**fields, "data": json.loads(fields["data"])})
