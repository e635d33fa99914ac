# Of openapi.json, sha256 c08db2ce88ecf039dec63758f804652adef5fab315ffb1f039409822a1d1b7fd
"""The schemas of the OpenAPI document, as datamodel-code-generator writes them: `make clients`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class Problem(TypedDict):
    type: str
    """
    Relative URL of a page that explains it; `/problems` lists all
    """
    title: str
    """
    What happened, in the language of `Content-Language`
    """
    status: int
    """
    The HTTP status
    """
    detail: NotRequired[str]
    """
    What happened this time, where more can be said
    """
    code: str
    """
    Stable, for programs. Take a code that you do not know by its status
    """
    requestId: str
    """
    Under it the log of the service has more
    """
    errors: NotRequired[dict[str, list[str]]]
    """
    What is wrong, by field, in English
    """
    attemptsLeft: NotRequired[int]
    """
    Wrong codes until the one-time password is void
    """
    limit: NotRequired[int]
    """
    As many are allowed
    """
    used: NotRequired[int]
    """
    Prompts that were used today
    """
    resetsAt: NotRequired[str]
    """
    When the day's prompts come back
    """
    upgrade: NotRequired[str]
    """
    Path to buy a plan without the limit
    """
    portalUrl: NotRequired[str | None]
    """
    Where to manage the subscription
    """
    policy: NotRequired[str]
    """
    Name of the limit
    """
    window: NotRequired[int]
    """
    Seconds over which the limit counts
    """
    retryAfter: NotRequired[int]
    """
    Seconds to wait, as in `Retry-After`
    """
    dependency: NotRequired[str]
    """
    The part of the service that does not answer
    """


class SignUp(TypedDict):
    mobileNumber: str
    """
    In any usual form; stored as E.164
    """
    name: NotRequired[str | None]
    email: NotRequired[str | None]
    password: NotRequired[str]
    """
    8 to 128 characters
    """


class Account(TypedDict):
    id: str
    mobileNumber: str
    """
    E.164
    """
    name: str | None
    email: str | None
    createdAt: str


class SignedUp(TypedDict):
    user: Account
    message: str


class MobileNumber(TypedDict):
    mobileNumber: str
    """
    In any usual form; stored as E.164
    """


class SentCode(TypedDict):
    message: str
    expiresIn: int
    """
    Seconds
    """
    resendIn: int
    """
    Seconds until another can be sent
    """
    otp: NotRequired[str]
    """
    Only where OTP_DELIVERY is `response`, never in production
    """


class VerifyOtp(TypedDict):
    mobileNumber: str
    """
    In any usual form; stored as E.164
    """
    otp: str
    """
    The code
    """


class LoggedIn(TypedDict):
    token: str
    """
    Send as `Authorization: Bearer …`
    """
    tokenType: Literal['Bearer']
    expiresIn: int
    """
    Seconds
    """
    refreshToken: str
    """
    For `/auth/refresh`; can be used once
    """
    user: Account


class LogIn(TypedDict):
    mobileNumber: str
    """
    In any usual form; stored as E.164
    """
    password: str


class ResetPassword(TypedDict):
    mobileNumber: str
    """
    In any usual form; stored as E.164
    """
    otp: str
    """
    The code
    """
    newPassword: str
    """
    8 to 128 characters
    """


class MessageOnly(TypedDict):
    message: str


class ChangePassword(TypedDict):
    newPassword: str
    """
    8 to 128 characters
    """
    currentPassword: NotRequired[str]
    otp: NotRequired[str]
    """
    The code
    """


class NewChatroom(TypedDict):
    name: NotRequired[str]
    """
    Without a name, the first message gives it one
    """
    systemPrompt: NotRequired[str | None]
    """
    Sent to the model with every message of the chatroom
    """


class ChatroomSummary(TypedDict):
    id: str
    name: str
    """
    Empty until the first message, where the chatroom was opened without a name
    """
    createdAt: str
    updatedAt: str
    pinned: bool
    archived: bool


class Failure(TypedDict):
    code: Literal[
        'model_busy',
        'model_unreachable',
        'model_rejected_request',
        'model_not_found',
        'model_misconfigured',
        'prompt_too_long',
        'refused',
        'answer_interrupted',
        'empty_answer',
        'deadline_exceeded',
        'attempts_exhausted',
        'given_up',
        'not_storable',
    ]
    """
    Why there is no reply. None of them counts as a prompt.

    | code | | what helps |
    |---|---|---|
    | `model_busy`, `model_unreachable` | the model is overloaded or down | `/retry` later |
    | `deadline_exceeded`, `attempts_exhausted` | no answer came in time, or only failures | `/retry` later |
    | `answer_interrupted`, `empty_answer` | the answer broke off, or was empty, each time | `/retry`, or other words |
    | `prompt_too_long` | the model takes no message of this length | a shorter message |
    | `refused` | the model declines to answer this | other words |
    | `model_rejected_request` | the model did not take the request | another message, or another `systemPrompt` |
    | `model_misconfigured`, `model_not_found` | the service may not use its model, or it is gone | its operator |
    | `given_up` | the operator ended it | `/retry` later |
    | `not_storable` | the answer could not be kept | other words |
    """
    detail: str


class TokenUsage(TypedDict):
    inputTokens: int | None
    outputTokens: int | None


class Feedback(TypedDict):
    rating: Literal['up', 'down']
    reasons: list[Literal['incorrect', 'unsafe', 'not_helpful', 'too_long', 'other']]
    comment: str | None
    givenAt: str


class Attempt(TypedDict):
    id: str
    status: Literal['queued', 'running', 'done', 'failed', 'cancelled']
    error: NotRequired[Failure]
    """
    Failed replies only
    """


class Entry(TypedDict):
    id: str
    chatroomId: str
    role: Literal['user', 'bot']
    content: str | None
    """
    null until the reply is done
    """
    createdAt: str
    replyTo: NotRequired[str]
    """
    Replies only: the message this answers
    """
    status: NotRequired[Literal['queued', 'running', 'done', 'failed', 'cancelled']]
    """
    Replies only
    """
    model: NotRequired[str]
    """
    Which model answered
    """
    truncated: NotRequired[bool]
    """
    The model reached its output limit
    """
    finishedAt: NotRequired[str]
    error: NotRequired[Failure]
    """
    Failed replies only
    """
    usage: NotRequired[TokenUsage]
    feedback: NotRequired[Feedback]
    """
    Replies only: what you think of it, if you said
    """
    latestAttempt: NotRequired[Attempt]
    """
    Replies only: the newest reply to the same message, where that is another one than this
    """


class Conversation(TypedDict):
    id: str
    name: str
    """
    Empty until the first message, where the chatroom was opened without a name
    """
    createdAt: str
    updatedAt: str
    pinned: bool
    archived: bool
    systemPrompt: str | None
    messages: list[Entry]
    """
    Oldest first
    """
    nextCursor: str | None
    """
    Send as `cursor` to read the older messages; null when there are none
    """


class ChangedChatroom(TypedDict):
    name: NotRequired[str]
    systemPrompt: NotRequired[str | None]
    """
    null removes it
    """
    pinned: NotRequired[bool]
    """
    Whether it stands in front of the others in the list; true takes it out of the archive
    """
    archived: NotRequired[bool]
    """
    Whether it is in the archive, and in the list only there; true takes the pin away
    """


class Chatroom(TypedDict):
    id: str
    name: str
    """
    Empty until the first message, where the chatroom was opened without a name
    """
    createdAt: str
    updatedAt: str
    pinned: bool
    archived: bool
    systemPrompt: str | None


class NewMessage(TypedDict):
    message: str


class Quota(TypedDict):
    limit: int | None
    """
    null: no daily limit
    """
    used: int
    remaining: int | None
    resetsAt: str
    """
    The next midnight, UTC
    """


class AnsweredMessage(TypedDict):
    message: Entry
    reply: Entry
    quota: Quota
    chatroomName: NotRequired[str]
    """
    The name that the chatroom got from this message; absent where it has a name already
    """
    links: dict[str, str]


class ReplyStatus(TypedDict):
    id: str
    status: Literal['queued', 'running', 'done', 'failed', 'cancelled']


class SentMessage(TypedDict):
    message: Entry
    reply: ReplyStatus
    quota: Quota
    chatroomName: NotRequired[str]
    """
    The name that the chatroom got from this message; absent where it has a name already
    """
    links: dict[str, str]


class Messages(TypedDict):
    messages: list[Entry]
    """
    Oldest first
    """
    nextCursor: str | None
    """
    Send as `before` to read the older messages
    """


class OneEntry(TypedDict):
    id: str
    chatroomId: str
    role: Literal['user', 'bot']
    content: str | None
    """
    null until the reply is done
    """
    createdAt: str
    replyTo: NotRequired[str]
    """
    Replies only: the message this answers
    """
    status: NotRequired[Literal['queued', 'running', 'done', 'failed', 'cancelled']]
    """
    Replies only
    """
    model: NotRequired[str]
    """
    Which model answered
    """
    truncated: NotRequired[bool]
    """
    The model reached its output limit
    """
    finishedAt: NotRequired[str]
    error: NotRequired[Failure]
    """
    Failed replies only
    """
    usage: NotRequired[TokenUsage]
    feedback: NotRequired[Feedback]
    """
    Replies only: what you think of it, if you said
    """
    latestAttempt: NotRequired[Attempt]
    """
    Replies only: the newest reply to the same message, where that is another one than this
    """
    replies: NotRequired[list[str]]
    """
    Messages only: all replies to it, oldest first
    """


class Replies(TypedDict):
    replies: list[Entry]
    """
    Oldest first
    """
    nextCursor: str | None
    """
    Send as `cursor` to read the newer ones; null when there are none
    """


class Cancelled(TypedDict):
    reply: ReplyStatus


class NewFeedback(TypedDict):
    rating: Literal['up', 'down']
    reasons: NotRequired[
        list[Literal['incorrect', 'unsafe', 'not_helpful', 'too_long', 'other']]
    ]
    """
    Why; each counts once
    """
    comment: NotRequired[str | None]
    """
    In your own words. The operator of the service can read it
    """


class Match(TypedDict):
    start: int
    end: int
    """
    Behind the last character of the match
    """


class Passage(TypedDict):
    text: str
    """
    Plain text on one line; `…` where something was left out
    """
    matches: list[Match]
    """
    In characters (Unicode code points: in JavaScript of `[...text]`), and none overlaps another
    """


class FoundChatroom(TypedDict):
    id: str
    name: Passage
    createdAt: str
    archived: bool


class FoundEntry(TypedDict):
    id: str
    chatroomId: str
    chatroomName: str
    role: Literal['user', 'bot']
    createdAt: str
    passage: Passage


class Found(TypedDict):
    chatrooms: list[FoundChatroom]
    """
    At most 10 whose name matches, the newest first; empty on later pages
    """
    messages: list[FoundEntry]
    """
    Messages and replies, the newest first
    """
    nextCursor: str | None
    """
    Send as `cursor` to read the older ones; null when there are none
    """
    complete: bool
    """
    false: messages of longer than a minute ago are still being made searchable
    """


class Refresh(TypedDict):
    refreshToken: str


class Refreshed(TypedDict):
    token: str
    """
    Send as `Authorization: Bearer …`
    """
    tokenType: Literal['Bearer']
    expiresIn: int
    """
    Seconds
    """
    refreshToken: str
    """
    Replaces the one that was sent, which cannot be used again
    """


class LogOut(TypedDict):
    scope: NotRequired[Literal['this', 'others', 'all']]
    refreshToken: NotRequired[str]
    """
    Will do where the access token has expired
    """


class Session(TypedDict):
    id: str
    device: str | None
    """
    The client's `User-Agent`
    """
    method: Literal['otp', 'password']
    startedAt: str
    lastUsedAt: str
    """
    When its tokens were last refreshed
    """
    expiresAt: str
    current: bool
    """
    Whether this request belongs to it
    """


class Usage(TypedDict):
    limit: int | None
    """
    null: no daily limit
    """
    used: int
    remaining: int | None
    resetsAt: str
    """
    The next midnight, UTC
    """
    tier: Literal['basic', 'pro']


class Profile(TypedDict):
    id: str
    mobileNumber: str
    """
    E.164
    """
    name: str | None
    email: str | None
    createdAt: str
    tier: Literal['basic', 'pro']
    usage: Usage


class ChangedProfile(TypedDict):
    name: NotRequired[str | None]
    email: NotRequired[str | None]


class Erased(TypedDict):
    message: str
    erased: dict[str, int]
    """
    Rows by table; rows of `auditEvents` are anonymised
    """
    complete: bool
    """
    False when you had so many messages that the last of them are still being deleted. Nobody can read them any more
    """


class DayOfUse(TypedDict):
    day: str
    used: int
    """
    Prompts that count
    """
    refunded: int
    """
    Prompts refunded because their replies failed
    """


class UsageOfDays(TypedDict):
    limit: int | None
    """
    null: no daily limit
    """
    used: int
    remaining: int | None
    resetsAt: str
    """
    The next midnight, UTC
    """
    tier: Literal['basic', 'pro']
    days: NotRequired[list[DayOfUse]]
    """
    Newest first; days without use are left out
    """


class PlanStatus(TypedDict):
    tier: Literal['basic', 'pro']
    plan: Literal['Basic', 'Pro']
    status: (
        Literal[
            'incomplete',
            'incomplete_expired',
            'trialing',
            'active',
            'past_due',
            'canceled',
            'unpaid',
            'paused',
            'unknown',
        ]
        | None
    )
    """
    Status of the subscription at Stripe; null when there never was one
    """
    currentPeriodEnd: str | None
    cancelAtPeriodEnd: bool
    usage: Usage


class Subscribe(TypedDict):
    successUrl: NotRequired[str]
    """
    Where to go after paying; only at an origin that the operator allows
    """
    cancelUrl: NotRequired[str]
    """
    Where to go without paying; only at an origin that the operator allows
    """


class Checkout(TypedDict):
    url: str
    checkoutUrl: str
    """
    The same as `url`
    """
    sessionId: str


class OpenPortal(TypedDict):
    returnUrl: NotRequired[str]
    """
    Where to go after the portal; only at an origin that the operator allows
    """


class Portal(TypedDict):
    url: str


class Received(TypedDict):
    received: bool
    duplicate: bool
    """
    Whether it was stored before
    """


class Home(TypedDict):
    message: str
    links: dict[str, str]


class Live(TypedDict):
    status: Literal['ok']


class Ready(TypedDict):
    status: Literal['ok', 'degraded', 'unavailable']
    degraded: list[
        Literal['server', 'database', 'redis', 'workers', 'model', 'backlog']
    ]
    """
    The parts that are not well
    """
    reasons: dict[
        str,
        Literal[
            'unreachable',
            'read_only',
            'schema',
            'no_writes',
            'absent',
            'breaker_open',
            'misconfigured',
            'half_full',
            'stopping',
        ],
    ]
    """
    Why: a code for each of these parts
    """


class Data(TypedDict):
    text: str


class DeltaEvent(TypedDict):
    """
    More of the reply
    """

    event: Literal['delta']
    data: Data
    id: str
    """
    For `Last-Event-ID`
    """


class ResetEvent(TypedDict):
    """
    Discard the text so far
    """

    event: Literal['reset']
    data: dict[str, Any]
    id: str
    """
    For `Last-Event-ID`
    """


class EndEvent(TypedDict):
    """
    The finished reply; the stream ends
    """

    event: Literal['done', 'failed', 'cancelled']
    data: Entry
    id: str
    """
    For `Last-Event-ID`
    """


class RemovedEvent(TypedDict):
    """
    The chatroom was removed; the stream ends
    """

    event: Literal['removed']
    data: dict[str, Any]


ReplyEvent: TypeAlias = DeltaEvent | ResetEvent | EndEvent | RemovedEvent
"""
One event of the stream, with its `data` parsed
"""
