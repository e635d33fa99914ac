"""The budget of one-time passwords in Redis: one script checks and counts all counters of a send."""

import hashlib
import hmac
from typing import NamedTuple

import structlog
from redis import Redis
from redis.exceptions import RedisError

from application.ports.otp_budget import OtpBudget
from domain.accounts import PhoneNumber
from domain.errors import DependencyDown, OtpSendsExhausted
from domain.networks import networks_of
from domain.one_time_password import SendCaps

SECONDS_PER_DAY = 86_400
# Numbers that differ only in this many last digits are one block.
BLOCK_DIGITS = 3

# KEYS: the counters. ARGV: seconds that a counter lives, then the cap of each. Returns {0, 0} when all were counted.
# Otherwise nothing was counted, and it returns which cap is reached and the seconds until its counter expires.
TAKE = """
for i = 1, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or 0) >= tonumber(ARGV[1 + i]) then
    return {i, redis.call('TTL', KEYS[i])}
  end
end
for i = 1, #KEYS do
  if redis.call('INCR', KEYS[i]) == 1 then redis.call('EXPIRE', KEYS[i], ARGV[1]) end
end
return {0, 0}
"""

# KEYS: the counters.
GIVE_BACK = """
for i = 1, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or 0) > 0 then redis.call('DECR', KEYS[i]) end
end
return 1
"""

log = structlog.get_logger(__name__)


class Counter(NamedTuple):
    """What a cap of so many sends a day applies to, such as one number or one address."""

    name: str
    subject: str
    cap: int


class RedisOtpBudget(OtpBudget):
    """Numbers and addresses are stored as keyed digests. ``key``: a secret that is not in Redis."""

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        self._key = key
        self._take = redis.register_script(TAKE)
        self._give_back = redis.register_script(GIVE_BACK)

    def take(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        counters = _counters(phone, address, caps, known=known)
        if not counters:
            return
        try:
            reached, seconds = self._take(
                keys=self._keys(counters),
                args=[SECONDS_PER_DAY, *(counter.cap for counter in counters)],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if not reached:
            return
        counter = counters[reached - 1]
        if counter.name == "total":
            # An attack, or very good business: either way an operator has to look now.
            log.critical("otp_spend_ceiling_reached", sent_a_day=counter.cap, seconds_left=seconds)
        else:
            log.warning("otp_cap_reached", cap=counter.name, sent_a_day=counter.cap)
        raise OtpSendsExhausted(retry_after=max(seconds, 1))

    def give_back(self, phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool = False) -> None:
        counters = _counters(phone, address, caps, known=known)
        if not counters:
            return
        try:
            self._give_back(keys=self._keys(counters))
        except RedisError as error:
            log.warning("otp_send_not_given_back", error=type(error).__name__)

    def _keys(self, counters: list[Counter]) -> list[str]:
        return [f"otp-sends:{counter.name}:{self._digest(counter)}" for counter in counters]

    def _digest(self, counter: Counter) -> str:
        return hmac.new(self._key, f"{counter.name}\x00{counter.subject}".encode(), hashlib.sha256).hexdigest()


def _counters(phone: PhoneNumber, address: str | None, caps: SendCaps, *, known: bool) -> list[Counter]:
    """The counters of a send. The total comes last, so that it alarms the operator only if no narrower cap refuses."""
    pair = f"{phone.e164} {address}"
    networks = networks_of(address) if address is not None and caps.per_address is not None else ()
    capped = [
        ("known", pair, caps.per_number) if known else ("number", phone.e164, caps.per_number),
        ("number_and_address", pair, None if known else caps.per_number_and_address),
        ("prefix", phone.e164[:-BLOCK_DIGITS], caps.per_prefix),
        *(("address", network.subject, (caps.per_address or 0) * network.times) for network in networks),
        ("total", "", caps.total),
    ]
    return [Counter(name, subject, cap) for name, subject, cap in capped if cap is not None]
