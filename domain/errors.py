"""Every error of the domain and its use cases, as one tree.

DomainError
├── Invalid            the request cannot be accepted as it is (422 in the HTTP layer)
│   ├── InvalidValue
│   ├── SearchTooBroad
│   └── IdempotencyKeyReused
├── Unauthenticated    the caller has not proven who they are  (401)
│   ├── TokenInvalid
│   ├── TokenExpired
│   ├── RefreshTokenInvalid
│   ├── OtpInvalid
│   └── CredentialsInvalid
├── NotAllowed         the caller is known and may not do this (403)
│   ├── AccountLocked
│   └── ReauthenticationNeeded
├── NotFound           it does not exist for this caller       (404)
│   ├── ChatroomNotFound
│   ├── MessageNotFound
│   ├── SessionNotFound
│   └── WebhookNotConfigured
├── Conflict           it contradicts the present state        (409)
│   ├── PhoneTaken
│   ├── IdempotencyKeyInUse
│   ├── ReplyFinished
│   ├── ReplyNotFailed
│   ├── ReplyNotDone
│   ├── ReplyNotRatable
│   ├── AlreadySubscribed
│   ├── NotSubscribed
│   ├── TooManyChatrooms
│   ├── TooManyPinned
│   └── TooManyMessages
├── TooMuch            too often or too many                   (429)
│   ├── TooManyUnfinishedReplies
│   ├── QuotaExhausted
│   ├── OtpResendTooSoon
│   ├── OtpLocked
│   ├── OtpSendsExhausted
│   └── RateLimited
└── Unavailable        something it needs is down or full      (503)
    ├── DependencyDown
    └── BacklogFull

The classes directly below DomainError are kinds. Each leaf has a stable ``code``, a ``title`` in English for RFC 9457
(problem details), and fields with its facts; never an HTTP status. The HTTP layer maps kinds to statuses and facts to
members of a problem document.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar


class DomainError(Exception):
    """The root of the tree. Only leaves are raised."""

    code: ClassVar[str]
    title: ClassVar[str]

    def facts(self) -> dict[str, object]:
        """The values of the leaf's fields, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


class Invalid(DomainError):
    """The request cannot be accepted as it is."""


class Unauthenticated(DomainError):
    """The caller has not proven who they are."""


class NotAllowed(DomainError):
    """The caller is known and may not do this."""


class NotFound(DomainError):
    """It does not exist, or belongs to another user: callers cannot tell which."""


class Conflict(DomainError):
    """It contradicts the present state."""


class TooMuch(DomainError):
    """Too often or too many. A later request may succeed."""


class Unavailable(DomainError):
    """Something this needs is down or full. Nothing was done."""


# Leaves are not frozen: raising an exception sets its traceback.


@dataclass(eq=False)
class InvalidValue(Invalid):
    """One value breaks a rule of the domain. ``field``: its name in the request."""

    code: ClassVar[str] = "validation_failed"
    title: ClassVar[str] = "A value is not acceptable"
    field: str
    reason: str


@dataclass(eq=False)
class SearchTooBroad(Invalid):
    """So much matches that finding it took too long."""

    code: ClassVar[str] = "search_too_broad"
    title: ClassVar[str] = "The search finds too much"


@dataclass(eq=False)
class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key came with another request before; keys are kept for 24 hours."""

    code: ClassVar[str] = "idempotency_key_reused"
    title: ClassVar[str] = "The Idempotency-Key belongs to another request"


@dataclass(eq=False)
class TokenInvalid(Unauthenticated):
    """The access token is missing, malformed, forged, or its session has ended."""

    code: ClassVar[str] = "token_invalid"
    title: ClassVar[str] = "The access token is missing or not valid"


@dataclass(eq=False)
class TokenExpired(Unauthenticated):
    """The access token was good once."""

    code: ClassVar[str] = "token_expired"
    title: ClassVar[str] = "The access token has expired"


@dataclass(eq=False)
class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, was used before, or its session has ended. Log in again."""

    code: ClassVar[str] = "refresh_token_invalid"
    title: ClassVar[str] = "The refresh token is not valid"


@dataclass(eq=False)
class OtpInvalid(Unauthenticated):
    """Wrong, used, outdated or never sent; which of these is not said."""

    code: ClassVar[str] = "otp_invalid"
    title: ClassVar[str] = "The one-time password is not valid"
    attempts_left: int


@dataclass(eq=False)
class CredentialsInvalid(Unauthenticated):
    """Number and password do not belong together; which of them is wrong is not said."""

    code: ClassVar[str] = "credentials_invalid"
    title: ClassVar[str] = "Mobile number or password is wrong"


@dataclass(eq=False)
class AccountLocked(NotAllowed):
    """The operator has locked the account. Its sessions have ended, and no other can begin."""

    code: ClassVar[str] = "account_locked"
    title: ClassVar[str] = "The account is locked"


@dataclass(eq=False)
class ReauthenticationNeeded(NotAllowed):
    """The session is too old, or too weakly proven, for what was asked."""

    code: ClassVar[str] = "reauthentication_needed"
    title: ClassVar[str] = "Prove who you are again"


@dataclass(eq=False)
class ChatroomNotFound(NotFound):
    """No such chatroom among the caller's own."""

    code: ClassVar[str] = "chatroom_not_found"
    title: ClassVar[str] = "There is no such chatroom"


@dataclass(eq=False)
class MessageNotFound(NotFound):
    """No such message or reply among the caller's own."""

    code: ClassVar[str] = "message_not_found"
    title: ClassVar[str] = "There is no such message"


@dataclass(eq=False)
class SessionNotFound(NotFound):
    """No such session among the caller's own that are going on."""

    code: ClassVar[str] = "session_not_found"
    title: ClassVar[str] = "There is no such session"


@dataclass(eq=False)
class WebhookNotConfigured(NotFound):
    """No signing secret is set, so events of the payment provider cannot be verified."""

    code: ClassVar[str] = "webhook_not_configured"
    title: ClassVar[str] = "Events of the payment provider are not taken here"


@dataclass(eq=False)
class PhoneTaken(Conflict):
    """The mobile number has an account already."""

    code: ClassVar[str] = "phone_taken"
    title: ClassVar[str] = "The mobile number is already registered"


@dataclass(eq=False)
class IdempotencyKeyInUse(Conflict):
    """A request with this Idempotency-Key is in progress. Repeat it in a second."""

    code: ClassVar[str] = "idempotency_key_in_use"
    title: ClassVar[str] = "The same request is being worked on"


@dataclass(eq=False)
class ReplyFinished(Conflict):
    """The reply is done, failed or cancelled, so it cannot be cancelled."""

    code: ClassVar[str] = "reply_finished"
    title: ClassVar[str] = "The reply is finished"


@dataclass(eq=False)
class ReplyNotFailed(Conflict):
    """Only the newest reply to a message can be retried, and only when it failed or was cancelled."""

    code: ClassVar[str] = "reply_not_failed"
    title: ClassVar[str] = "The reply has not failed"


@dataclass(eq=False)
class ReplyNotDone(Conflict):
    """Only an answered message can be regenerated, and only while no attempt is under way."""

    code: ClassVar[str] = "reply_not_done"
    title: ClassVar[str] = "The reply is not done"


@dataclass(eq=False)
class ReplyNotRatable(Conflict):
    """The reply is not finished, or has no text."""

    code: ClassVar[str] = "reply_not_ratable"
    title: ClassVar[str] = "There is no answer to rate"


@dataclass(eq=False)
class TooManyUnfinishedReplies(TooMuch):
    """``limit`` replies of the user are unfinished, so no more are accepted. ``retry_after``: seconds."""

    code: ClassVar[str] = "too_many_unfinished_replies"
    title: ClassVar[str] = "Too many of your replies are unfinished"
    limit: int
    retry_after: int = 5


@dataclass(eq=False)
class AlreadySubscribed(Conflict):
    """There is a subscription that has not ended. ``portal_url``: where to manage it, unless the provider is down."""

    code: ClassVar[str] = "already_subscribed"
    title: ClassVar[str] = "There is a subscription already"
    portal_url: str | None


@dataclass(eq=False)
class NotSubscribed(Conflict):
    """There is no subscription, or it has ended."""

    code: ClassVar[str] = "not_subscribed"
    title: ClassVar[str] = "There is no subscription"


@dataclass(eq=False)
class TooManyChatrooms(Conflict):
    """The user has ``limit`` chatrooms. Remove one to open another."""

    code: ClassVar[str] = "too_many_chatrooms"
    title: ClassVar[str] = "There are too many chatrooms"
    limit: int


@dataclass(eq=False)
class TooManyPinned(Conflict):
    """The user has pinned ``limit`` chatrooms. Unpin one to pin another."""

    code: ClassVar[str] = "too_many_pinned"
    title: ClassVar[str] = "There are too many pinned chatrooms"
    limit: int


@dataclass(eq=False)
class TooManyMessages(Conflict):
    """The user has ``limit`` messages in all chatrooms together. Remove a chatroom to send more."""

    code: ClassVar[str] = "too_many_messages"
    title: ClassVar[str] = "There are too many messages"
    limit: int


@dataclass(eq=False)
class QuotaExhausted(TooMuch):
    """The plan's prompts of this UTC day are used up."""

    code: ClassVar[str] = "daily_quota_exceeded"
    title: ClassVar[str] = "The prompts of today are used up"
    limit: int
    used: int
    resets_at: datetime


@dataclass(eq=False)
class OtpResendTooSoon(TooMuch):
    """A code for this number and purpose was sent a moment ago. ``retry_after``: seconds until the next one."""

    code: ClassVar[str] = "otp_resend_too_soon"
    title: ClassVar[str] = "A one-time password was sent a moment ago"
    retry_after: int


@dataclass(eq=False)
class OtpLocked(TooMuch):
    """There were too many wrong codes, and the code is void. ``retry_after``: seconds until the next one."""

    code: ClassVar[str] = "otp_locked"
    title: ClassVar[str] = "Too many wrong one-time passwords"
    retry_after: int


@dataclass(eq=False)
class OtpSendsExhausted(TooMuch):
    """A cap on sent codes is reached: of the number, of similar numbers, of the address, or of all.

    It does not say which one. ``retry_after``: seconds.
    """

    code: ClassVar[str] = "otp_sends_exhausted"
    title: ClassVar[str] = "No more one-time passwords are sent for now"
    retry_after: int


@dataclass(eq=False)
class RateLimited(TooMuch):
    """More than ``limit`` requests in ``window`` seconds. ``policy``: the limit's name; ``retry_after``: seconds."""

    code: ClassVar[str] = "rate_limited"
    title: ClassVar[str] = "Too many requests"
    policy: str
    limit: int
    window: int
    retry_after: int


@dataclass(eq=False)
class DependencyDown(Unavailable):
    """A server that this needs does not answer. ``retry_after``: seconds."""

    code: ClassVar[str] = "dependency_unavailable"
    title: ClassVar[str] = "A part of the service is not available"
    dependency: str
    retry_after: int = 2


@dataclass(eq=False)
class BacklogFull(Unavailable):
    """So many replies are unfinished that no user's messages are accepted. ``retry_after``: seconds."""

    code: ClassVar[str] = "backlog_full"
    title: ClassVar[str] = "Too many messages wait for a reply"
    retry_after: int = 10
