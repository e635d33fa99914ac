"""One-time passwords by SMS, through Twilio or through the operator's own sender."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any
from uuid import uuid4

import httpx
import orjson
import structlog

from application.ports.otp_delivery import NotDelivered, OtpDelivery
from domain.accounts import PhoneNumber
from domain.languages import Language
from domain.one_time_password import Purpose

TIMEOUT_SECONDS = 5.0
# A provider that hangs blocks at most this many threads of a web process.
AT_ONCE = 4
SENT = range(200, 300)
# Errors raised before the request was sent.
NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# Only these say for certain that nothing was sent: a proxy answers 504 for a sender that has passed the message on.
REFUSED = range(400, 500)
UNCERTAIN = {408}
# What a text message says, by language and purpose; ``{code}`` and ``{host}`` stand for the code and the service's
# host.
Texts = Mapping[Language, Mapping[Purpose, str]]

log = structlog.get_logger("otp")


class _Post:
    """POSTs with a timeout and bounded concurrency. Built once: an HTTP client takes tens of milliseconds."""

    def __init__(self, provider: str, *, timeout: float) -> None:
        self._provider = provider
        # No proxies or netrc from the environment, and no redirects: the request holds a code and a secret.
        self._client = httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False)
        self._slots = BoundedSemaphore(AT_ONCE)

    def __call__(self, url: str, **request: Any) -> None:
        """NotDelivered unless the provider answers with a 2xx status."""
        if not self._slots.acquire(blocking=False):
            raise self._failed("busy", surely=True)
        try:
            # The body is not read: the status is all that counts.
            with self._client.stream("POST", url, **request) as response:
                status = response.status_code
        except httpx.HTTPError as error:
            # `from None`: the error's text and cause may contain the URL, and the request contains the code.
            raise self._failed(type(error).__name__, surely=isinstance(error, NEVER_ARRIVED)) from None
        finally:
            self._slots.release()
        if status not in SENT:
            raise self._failed(f"status {status}", surely=status in REFUSED and status not in UNCERTAIN)

    def _failed(self, reason: str, *, surely: bool) -> NotDelivered:
        log.error("sms_not_sent", provider=self._provider, reason=reason, surely=surely)
        return NotDelivered(surely=surely)


class TwilioOtpDelivery(OtpDelivery):
    """Through Twilio's Messages resource (twilio.com/docs/messaging/api/message-resource).

    ``sender``: a Twilio number, or the id of a messaging service (MG…).
    """

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str,
        texts: Texts,
        host: str,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._texts, self._host = texts, host
        self._url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._auth = (account_sid, auth_token)
        self._from = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._post = _Post("twilio", timeout=timeout)

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        text = _text(self._texts[language][purpose], code, self._host)
        self._post(self._url, data={"To": phone.e164, "Body": text, **self._from}, auth=self._auth)
        return None


class WebhookOtpDelivery(OtpDelivery):
    """Through a signed POST to the operator's own sender.

    JSON ``{"id", "mobileNumber", "code", "purpose", "language", "text"}``, with ``X-Timestamp`` (seconds since the
    epoch) and ``X-Signature: sha256=<hex of HMAC-SHA-256(secret, timestamp + "." + body)>``. Any 2xx status means
    accepted.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: bytes,
        texts: Texts,
        host: str,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._texts, self._host = texts, host
        self._url = url
        self._secret = secret
        self._post = _Post("webhook", timeout=timeout)

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose, language: Language) -> str | None:
        body = orjson.dumps(
            {
                "id": str(uuid4()),
                "mobileNumber": phone.e164,
                "code": code,
                "purpose": purpose.value,
                "language": language.value,
                "text": _text(self._texts[language][purpose], code, self._host),
            }
        )
        self._post(self._url, content=body, headers=self._headers(body))
        return None

    def _headers(self, body: bytes) -> Mapping[str, str]:
        timestamp = str(int(time.time()))
        signature = hmac.new(self._secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/json",
            "X-Timestamp": timestamp,
            "X-Signature": f"sha256={signature}",
        }


def _text(template: str, code: str, host: str) -> str:
    """Not by ``str.format``: an operator's text may hold other braces."""
    return template.replace("{code}", code).replace("{host}", host)
