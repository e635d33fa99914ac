"""One-time passwords in Redis, as keyed digests. Lua scripts, each of them atomic, count attempts and use up codes."""

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta
from math import ceil

import structlog
from redis import Redis
from redis.exceptions import RedisError

from application.ports.otp_store import OtpStore
from domain.accounts import PhoneNumber
from domain.errors import DependencyDown, OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import OtpPolicy, Purpose

# KEYS: code, cool-down, previous code, failures. ARGV: digest, lifetime in ms, cool-down in ms, failures allowed.
# Returns {'put', 0}, {'soon', ms to wait} or {'locked', ms to wait}. The previous code is kept until it expires, for
# the case that the new one cannot be sent.
PUT = """
if tonumber(redis.call('GET', KEYS[4]) or 0) >= tonumber(ARGV[4]) then
  return {'locked', redis.call('PTTL', KEYS[4])}
end
local wait = redis.call('PTTL', KEYS[2])
if wait > 0 then return {'soon', wait} end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[3]) end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'attempts', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'put', 0}
"""

# KEYS: code, cool-down, previous code.
WITHDRAW = """
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('RENAME', KEYS[3], KEYS[1]) end
return 1
"""

# KEYS: failures of the number, then code and cool-down of each purpose. ARGV: attempts allowed, failures allowed, ms
# until failures are forgotten, then the digest for each purpose.
# Returns {'ok', which}, {'invalid', attempts left} or {'locked', ms until a new code can be asked for}.
# The attempt is counted before the comparison. The comparison need not take constant time: its duration tells something
# about a keyed digest, not about the code.
REDEEM = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[2]) then
  return {'locked', redis.call('PTTL', KEYS[1])}
end
local allowed, left, locked, compared = tonumber(ARGV[1]), 0, -1, false
for i = 1, (#KEYS - 1) / 2 do
  local code, cooldown = KEYS[2 * i], KEYS[2 * i + 1]
  local attempts = tonumber(redis.call('HGET', code, 'attempts'))
  if attempts and attempts >= allowed then
    locked = math.max(locked, redis.call('PTTL', cooldown), 0)
  elseif attempts then
    attempts = redis.call('HINCRBY', code, 'attempts', 1)
    if redis.call('HGET', code, 'digest') == ARGV[3 + i] then
      redis.call('DEL', code)
      return {'ok', i}
    end
    compared = true
    left = math.max(left, allowed - attempts)
  end
end
if compared and redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if left == 0 and locked >= 0 then return {'locked', locked} end
return {'invalid', left}
"""

log = structlog.get_logger(__name__)


class RedisOtpStore(OtpStore):
    """Neither codes nor numbers can be read from Redis without ``key``, a secret that is stored elsewhere."""

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        self._key = key
        self._put = redis.register_script(PUT)
        self._redeem = redis.register_script(REDEEM)
        self._withdraw = redis.register_script(WITHDRAW)

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        try:
            outcome, wait = self._put(
                keys=[*self._keys(phone, purpose), self._key_before(phone, purpose), self._failures(phone)],
                args=[
                    self._digest("code", purpose, phone.e164, code),
                    _milliseconds(policy.lifetime),
                    _milliseconds(policy.resend_after),
                    policy.max_failures,
                ],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if outcome == b"locked":
            raise OtpLocked(retry_after=_seconds(wait))
        if outcome == b"soon":
            raise OtpResendTooSoon(retry_after=_seconds(wait))

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        order: list[Purpose] = list(purposes)
        try:
            outcome, number = self._redeem(
                keys=[self._failures(phone), *(key for purpose in order for key in self._keys(phone, purpose))],
                args=[
                    policy.max_attempts,
                    policy.max_failures,
                    _milliseconds(policy.failures_forgotten_after),
                    *(self._digest("code", purpose, phone.e164, code) for purpose in order),
                ],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if outcome == b"ok":
            return order[int(number) - 1]
        if outcome == b"locked":
            raise OtpLocked(retry_after=_seconds(number))
        raise OtpInvalid(attempts_left=number)

    def withdraw(self, phone: PhoneNumber, purpose: Purpose) -> None:
        try:
            self._withdraw(keys=[*self._keys(phone, purpose), self._key_before(phone, purpose)])
        except RedisError as error:
            log.warning("code_not_withdrawn", error=type(error).__name__)

    def _keys(self, phone: PhoneNumber, purpose: Purpose) -> list[str]:
        owner = self._digest("owner", purpose, phone.e164)
        return [f"otp:code:{owner}", f"otp:cooldown:{owner}"]

    def _key_before(self, phone: PhoneNumber, purpose: Purpose) -> str:
        return f"otp:before:{self._digest('owner', purpose, phone.e164)}"

    def _failures(self, phone: PhoneNumber) -> str:
        return f"otp-failures:{self._digest('failures', phone.e164)}"

    def _digest(self, *parts: str) -> str:
        message = "\x00".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _seconds(milliseconds: int) -> int:
    return max(ceil(milliseconds / 1000), 1)
