"""Every problem that the API can answer with: its code, status and title, and what to say about it to people.

Code and title of an error of the domain are the error's own; its status follows from its kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain import errors
from domain.errors import DomainError

PROBLEM_JSON = "application/problem+json"

STATUS_OF_KIND: Mapping[type[DomainError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooMuch: 429,
    errors.Unavailable: 503,
}


@dataclass(frozen=True, slots=True)
class ProblemType:
    """``why`` it happens and ``what_to_do`` are sentences; ``members``: its facts in the JSON, with example values.

    ``occurrence``: the ``detail`` of each occurrence, see ProblemTexts. Texts are English; entrypoints/api/texts has
    the other languages.
    """

    code: str
    status: int
    title: str
    why: str
    what_to_do: str
    members: Mapping[str, Any]
    occurrence: str | None = None

    @property
    def path(self) -> str:
        """The relative URL that is the ``type`` of the problem, and opens its page."""
        return f"/problems/{self.code}"


def leaves(kind: type[DomainError]) -> list[type[DomainError]]:
    """The subclasses of ``kind`` that have none themselves: only these are raised."""
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


def status_of(error: type[DomainError]) -> int:
    """The HTTP status of an error, by its kind."""
    return next(status for kind, status in STATUS_OF_KIND.items() if issubclass(error, kind))


def _domain(
    error: type[DomainError], why: str, what_to_do: str, *, occurrence: str | None = None, **members: Any
) -> ProblemType:
    return ProblemType(error.code, status_of(error), error.title, why, what_to_do, members, occurrence)


def _http(
    code: str, status: int, title: str, why: str, what_to_do: str, *, occurrence: str | None = None, **members: Any
) -> ProblemType:
    return ProblemType(code, status, title, why, what_to_do, members, occurrence)


_ALL = (
    # --- The request ---
    _http(
        "bad_request",
        400,
        "The request cannot be understood",
        "The request is not HTTP as the server reads it, its body is not JSON, or its signature is not right. "
        "`detail` says more where more can be said.",
        "Correct the request. It fails in the same way each time.",
        detail="The body is not JSON at character 17.",
    ),
    _http(
        "idempotency_key_not_supported",
        400,
        "An Idempotency-Key does not hold here",
        "The request has an `Idempotency-Key`, but this operation does not keep any. Nothing was done.",
        "Leave the header out. The operations for which a key holds document it.",
    ),
    _http(
        "not_found",
        404,
        "There is nothing here",
        "No operation has this path, or an id in it is not a UUID.",
        "Compare the path with the OpenAPI document; an id must be one that the API gave you.",
    ),
    _http(
        "method_not_allowed",
        405,
        "Not with this method",
        "The path exists, but not with this method.",
        "Use a method that the `Allow` header lists.",
    ),
    _http(
        "request_timeout",
        408,
        "The request took too long to arrive",
        "The connection was open, but the rest of the request did not come in time.",
        "Send the request again, over a better connection if there is one.",
    ),
    _http(
        "payload_too_large",
        413,
        "The body is too large",
        "The body is larger than any valid one of this operation.",
        "Send less: the schema of the body names the longest texts.",
    ),
    _http(
        "unsupported_media_type",
        415,
        "The body must be application/json",
        "The `Content-Type` of the body is another one, or is missing.",
        "Send JSON with `Content-Type: application/json`.",
    ),
    _domain(
        errors.InvalidValue,
        "A member of the body, of the query or of the headers is missing or breaks a rule. "
        "`errors` says what is wrong with each.",
        "Show the texts beside the fields that they name, and send corrected values.",
        errors={"mobileNumber": ["Missing data for required field."]},
    ),
    _domain(
        errors.SearchTooBroad,
        "So much of yours matches that finding it took too long.",
        "Search for longer words, or for more of them. Where that does not help, try again later.",
    ),
    _http(
        "headers_too_large",
        431,
        "The headers are too large",
        "The headers of the request are longer than the server reads.",
        "Send fewer or shorter headers.",
    ),
    _domain(
        errors.IdempotencyKeyReused,
        "The same `Idempotency-Key` came with another request before. Keys are kept for 24 hours.",
        "Use a new key, such as a random UUID, for each new request, and the same key only to repeat one.",
    ),
    _domain(
        errors.IdempotencyKeyInUse,
        "A request with the same `Idempotency-Key` is still being worked on.",
        "Repeat the request in a second: it gets the response of the first one.",
    ),
    # --- Who is asking ---
    _domain(
        errors.TokenInvalid,
        "The access token is missing, malformed or forged, or its session has ended.",
        "Send `Authorization: Bearer …` with the token of the login. If the session has ended, log in again.",
    ),
    _domain(
        errors.TokenExpired,
        "The access token was good, and has expired.",
        "Get a new one at `POST /auth/refresh`, once for all requests that wait for it, and repeat the request.",
    ),
    _domain(
        errors.RefreshTokenInvalid,
        "The refresh token is unknown or was used before, or its session has ended.",
        "Forget both tokens, and ask the user to log in again.",
    ),
    _domain(
        errors.OtpInvalid,
        "The one-time password is wrong, used, outdated, or was never sent. It is not said which.",
        "Let the user type it again while `attemptsLeft` is above zero, or send another code.",
        occurrence="Tries left: {attemptsLeft}.",
        attemptsLeft=4,
    ),
    _domain(
        errors.CredentialsInvalid,
        "Mobile number and password do not belong together. It is not said which of them is wrong.",
        "Let the user try again, or log in with a one-time password.",
    ),
    _domain(
        errors.ReauthenticationNeeded,
        "The session is too old for this, or was begun with too weak a proof.",
        "Send `currentPassword`, or the `otp` of `POST /auth/forgot-password`.",
    ),
    _domain(
        errors.AccountLocked,
        "The operator has locked the account. Its sessions have ended.",
        "Ask the operator. Until it is unlocked, no way of logging in helps.",
    ),
    _domain(
        errors.PhoneTaken,
        "The mobile number has an account already.",
        "Log in with it: `POST /auth/send-otp`, then `POST /auth/verify-otp`.",
    ),
    # --- What is asked for ---
    _domain(
        errors.ChatroomNotFound,
        "There is no such chatroom, or it belongs to another user. It is not said which.",
        "List the chatrooms again; this one may have been removed on another device.",
    ),
    _domain(
        errors.MessageNotFound,
        "There is no such message or reply, or it belongs to another user. It is not said which.",
        "Read the chatroom again; it may have been removed on another device.",
    ),
    _domain(
        errors.SessionNotFound,
        "None of your sessions that are going on has this id.",
        "List the sessions again; this one has ended.",
    ),
    _domain(
        errors.WebhookNotConfigured,
        "The operator has set no signing secret, so no event can be verified.",
        "Set `STRIPE_WEBHOOK_SECRET` for the service.",
    ),
    # --- The present state ---
    _domain(
        errors.ReplyFinished,
        "The reply is done, failed or cancelled.",
        "Read the reply: there is nothing to cancel.",
    ),
    _domain(
        errors.ReplyNotFailed,
        "Only the newest reply to a message can be retried, and only when it failed or was cancelled.",
        "Read the message; to get another answer to an answered one, use `regenerate`.",
    ),
    _domain(
        errors.ReplyNotDone,
        "The message has no answer yet, or another attempt is under way.",
        "Wait for the reply; after a failure, use `retry`.",
    ),
    _domain(
        errors.ReplyNotRatable,
        "The reply is still being written, or it failed or was stopped before it had any text.",
        "Rate a reply that is finished and has text: one that is `done`, or that was stopped and kept what there was.",
    ),
    _domain(
        errors.AlreadySubscribed,
        "There is a subscription that has not ended.",
        "Send the user to `portalUrl` to manage it; it is null while the payment provider cannot be reached.",
        portalUrl="https://billing.stripe.com/p/session/test_YWNjdF8x",
    ),
    _domain(
        errors.NotSubscribed,
        "There is no subscription, or it has ended.",
        "Offer `POST /subscribe/pro`.",
    ),
    _domain(
        errors.TooManyChatrooms,
        "You have as many chatrooms as one user may have.",
        "Remove a chatroom, then open the new one.",
        occurrence="One user may have {limit} chatrooms.",
        limit=1000,
    ),
    _domain(
        errors.TooManyPinned,
        "You have pinned as many chatrooms as one user may pin.",
        "Unpin a chatroom, then pin the other one.",
        occurrence="One user may pin {limit} chatrooms.",
        limit=20,
    ),
    _domain(
        errors.TooManyMessages,
        "You keep as many messages, in all chatrooms together, as one user may keep.",
        "Remove a chatroom that is no longer needed, then send the message again.",
        occurrence="One user may keep {limit} messages.",
        limit=100000,
    ),
    # --- Too much ---
    _domain(
        errors.QuotaExhausted,
        "The plan's prompts of this UTC day are used up.",
        "Wait until `resetsAt`, or offer Pro: `upgrade` is the path to buy it.",
        occurrence="Your plan has {limit} prompts a day. The next ones come in {wait}.",
        limit=5,
        used=5,
        resetsAt="2026-03-03T00:00:00Z",
        upgrade="/subscribe/pro",
    ),
    _domain(
        errors.TooManyUnfinishedReplies,
        "As many replies of yours are unfinished as one user may have.",
        "Wait for one of them, or for `retryAfter` seconds, and send the message again.",
        occurrence="As many as {limit} may be unfinished at once. Try again in {wait}.",
        limit=20,
        retryAfter=5,
    ),
    _domain(
        errors.OtpResendTooSoon,
        "A one-time password was sent to this number a moment ago.",
        "Use that one, or ask for another after `retryAfter` seconds.",
        occurrence="Another can be sent in {wait}.",
        retryAfter=28,
    ),
    _domain(
        errors.OtpLocked,
        "There were too many wrong one-time passwords, and the code is void.",
        "Send another code after `retryAfter` seconds.",
        occurrence="A new one can be sent in {wait}.",
        retryAfter=900,
    ),
    _domain(
        errors.OtpSendsExhausted,
        "A limit on sent codes is reached: of the number, of similar numbers, of the address, or of the service.",
        "Try again after `retryAfter` seconds, or log in with the password.",
        occurrence="Try again in {wait}.",
        retryAfter=3600,
    ),
    _domain(
        errors.RateLimited,
        "There were more than `limit` requests within `window` seconds.",
        "Wait for `retryAfter` seconds, and send fewer requests from then on.",
        occurrence="The limit is {limit} requests in {window} seconds. Try again in {wait}.",
        policy="user",
        limit=300,
        window=60,
        retryAfter=17,
    ),
    # --- The service ---
    _http(
        "internal_error",
        500,
        "Something went wrong on our side",
        "The service has met an unexpected error. The log has it, under the `requestId`.",
        "Try again later, and tell the operator the `requestId` if it happens again.",
    ),
    _http(
        "unavailable",
        503,
        "Not available at the moment",
        "The service cannot answer now.",
        "Repeat the request after the seconds in `Retry-After`.",
    ),
    _http(
        "too_busy",
        503,
        "Too many requests of this kind",
        "So many requests of this kind wait already that this one was refused at once. Nothing was done.",
        "Repeat the request after `retryAfter` seconds.",
        occurrence="Try again in {wait}.",
        retryAfter=1,
    ),
    _http(
        "too_many_waiting",
        503,
        "Too many requests are waiting",
        "As many streams and long polls are open as there may be, in all or of one user.",
        "Close a stream that is no longer shown, or read without waiting; or wait for the seconds in `Retry-After`.",
    ),
    _domain(
        errors.DependencyDown,
        "A server that this needs does not answer: the database, Redis, or the provider of payments or text messages.",
        "Repeat the request after `retryAfter` seconds. Nothing was done.",
        occurrence="Try again in {wait}.",
        dependency="database",
        retryAfter=2,
    ),
    _domain(
        errors.BacklogFull,
        "So many replies are unfinished that no messages are accepted from anybody.",
        "Send the message again after `retryAfter` seconds. It was not counted.",
        occurrence="Try again in {wait}.",
        retryAfter=10,
    ),
)

PROBLEMS: Mapping[str, ProblemType] = {one.code: one for one in _ALL}

# Of exceptions of werkzeug that have no code of their own, and of refusals of the server. All others: bad_request.
CODE_OF_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: errors.InvalidValue.code,
    431: "headers_too_large",
    500: "internal_error",
    503: "unavailable",
}
