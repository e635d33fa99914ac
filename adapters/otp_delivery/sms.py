"""One-time passwords by SMS: through Twilio, or through a sender of the operator's own."""

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
from domain.one_time_password import Purpose

TIMEOUT_SECONDS = 5.0
# A provider that hangs keeps this many threads of a web process at the most; the rest go on serving.
AT_ONCE = 4
SENT = range(200, 300)
# What ends before the request has left.
NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

TEXTS = {
    Purpose.LOGIN: "{code} is your code for logging in. Do not tell it to anybody.",
    Purpose.PASSWORD_RESET: "{code} is your code for setting a new password. Do not tell it to anybody.",
}

log = structlog.get_logger("otp")


class _Post:
    """Posts, within a time and a number of threads. Built once: an HTTP client takes tens of milliseconds."""

    def __init__(self, provider: str, *, timeout: float) -> None:
        self._provider = provider
        # No proxies or netrc from the environment, and no redirects: the request holds a code and a secret.
        self._client = httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False)
        self._turn = BoundedSemaphore(AT_ONCE)

    def __call__(self, url: str, **request: Any) -> None:
        """Sent, or NotDelivered."""
        if not self._turn.acquire(blocking=False):
            raise self._failed("busy", surely=True)
        try:
            # The body of the answer is not waited for: the status says all.
            with self._client.stream("POST", url, **request) as response:
                status = response.status_code
        except httpx.HTTPError as error:
            # Its text and its cause may name the address; the request holds the code.
            raise self._failed(type(error).__name__, surely=isinstance(error, NEVER_ARRIVED)) from None
        finally:
            self._turn.release()
        if status not in SENT:
            raise self._failed(f"status {status}", surely=True)

    def _failed(self, reason: str, *, surely: bool) -> NotDelivered:
        log.error("sms_not_sent", provider=self._provider, reason=reason, surely=surely)
        return NotDelivered(surely=surely)


class TwilioOtpDelivery(OtpDelivery):
    """The OtpDelivery port over Twilio's Messages resource (twilio.com/docs/messaging/api/message-resource)."""

    def __init__(
        self, *, account_sid: str, auth_token: str, sender: str, base_url: str, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """``sender``: a number of Twilio's, or the id of a messaging service (MG…)."""
        self._url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._auth = (account_sid, auth_token)
        self._from = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._post = _Post("twilio", timeout=timeout)

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """Nothing to show to whoever asked."""
        text = TEXTS[purpose].format(code=code)
        self._post(self._url, data={"To": phone.e164, "Body": text, **self._from}, auth=self._auth)
        return None


class WebhookOtpDelivery(OtpDelivery):
    """The OtpDelivery port over a signed POST to the operator's own sender.

    JSON ``{"id", "mobileNumber", "code", "purpose", "text"}``, with ``X-Timestamp`` (seconds since the epoch) and
    ``X-Signature: sha256=<hex of HMAC-SHA-256(secret, timestamp + "." + body)>``. Any 2xx: it is on its way.
    """

    def __init__(self, *, url: str, secret: bytes, timeout: float = TIMEOUT_SECONDS) -> None:
        """``secret``: what the sender verifies the signature with."""
        self._url = url
        self._secret = secret
        self._post = _Post("webhook", timeout=timeout)

    def deliver(self, phone: PhoneNumber, code: str, purpose: Purpose) -> str | None:
        """Nothing to show to whoever asked."""
        body = orjson.dumps(
            {
                "id": str(uuid4()),
                "mobileNumber": phone.e164,
                "code": code,
                "purpose": purpose.value,
                "text": TEXTS[purpose].format(code=code),
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
