"""One-time passwords in Redis: as keyed digests, counted and used up by Lua scripts, each one atomic."""

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta
from math import ceil

from redis import Redis
from redis.exceptions import RedisError

from domain.accounts import PhoneNumber
from domain.errors import DependencyDown, OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import OtpPolicy, Purpose

# KEYS: code, cool-down. ARGV: digest, lifetime in ms, cool-down in ms. Returns the ms to wait, or 0 when it was put.
PUT = """
local wait = redis.call('PTTL', KEYS[2])
if wait > 0 then return wait end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'attempts', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
"""

# KEYS: code and cool-down of each purpose. ARGV: attempts allowed, then the digest for each purpose.
# Returns {'ok', which}, {'invalid', attempts left} or {'locked', ms until a new code can be asked for}.
# The attempt is counted before the comparison. The comparison need not take constant time: who can measure it learns
# of a keyed digest, not of the code.
REDEEM = """
local allowed, left, locked = tonumber(ARGV[1]), 0, -1
for i = 1, #KEYS / 2 do
  local code, cooldown = KEYS[2 * i - 1], KEYS[2 * i]
  local attempts = tonumber(redis.call('HGET', code, 'attempts'))
  if attempts and attempts >= allowed then
    locked = math.max(locked, redis.call('PTTL', cooldown), 0)
  elseif attempts then
    attempts = redis.call('HINCRBY', code, 'attempts', 1)
    if redis.call('HGET', code, 'digest') == ARGV[1 + i] then
      redis.call('DEL', code)
      return {'ok', i}
    end
    left = math.max(left, allowed - attempts)
  end
end
if left == 0 and locked >= 0 then return {'locked', locked} end
return {'invalid', left}
"""


class RedisOtpStore:
    """The OtpStore port. Neither codes nor numbers can be read from Redis without the key."""

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        """``key``: a secret that is not in Redis."""
        self._key = key
        self._put = redis.register_script(PUT)
        self._redeem = redis.register_script(REDEEM)

    def put(self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy) -> None:
        """Keep a new code, unless one was put a moment ago."""
        try:
            wait = self._put(
                keys=self._keys(phone, purpose),
                args=[
                    self._digest("code", purpose, phone.e164, code),
                    _milliseconds(policy.lifetime),
                    _milliseconds(policy.resend_after),
                ],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if wait:
            raise OtpResendTooSoon(retry_after=_seconds(wait))

    def redeem(self, phone: PhoneNumber, purposes: Collection[Purpose], code: str, policy: OtpPolicy) -> Purpose:
        """Use up the code and say what it was sent for."""
        order: list[Purpose] = list(purposes)
        try:
            outcome, number = self._redeem(
                keys=[key for purpose in order for key in self._keys(phone, purpose)],
                args=[
                    policy.max_attempts,
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

    def _keys(self, phone: PhoneNumber, purpose: Purpose) -> list[str]:
        owner = self._digest("owner", purpose, phone.e164)
        return [f"otp:code:{owner}", f"otp:cooldown:{owner}"]

    def _digest(self, *parts: str) -> str:
        message = "\x00".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _seconds(milliseconds: int) -> int:
    return max(ceil(milliseconds / 1000), 1)
