"""One-time passwords in Redis, as keyed digests. Lua scripts, each of them atomic, count attempts and use up codes."""

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta
from math import ceil

import structlog
from redis import Redis
from redis.exceptions import RedisError

from application.ports.otp_store import OtpStore, Redeemed
from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber
from domain.errors import DependencyDown, OtpInvalid, OtpLocked, OtpResendTooSoon
from domain.one_time_password import REPEAT_GRACE, OtpPolicy, Purpose

# Codes of one number and purpose that may be valid at once: more than are sent within the life of one.
SLOTS = 24

# KEYS: failures of the address, its cool-down, then the slots. ARGV: digest, lifetime in ms, cool-down in ms, failures
# allowed, address. Returns {'put', 0}, {'soon', ms to wait} or {'locked', ms to wait}.
# A code takes an empty slot, or that of the code that would expire first.
PUT = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[4]) then
  return {'locked', redis.call('PTTL', KEYS[1])}
end
local wait = redis.call('PTTL', KEYS[2])
if wait > 0 then return {'soon', wait} end
local slot, least = nil, nil
for i = 3, #KEYS do
  local life = redis.call('PTTL', KEYS[i])
  if not least or life < least then slot, least = KEYS[i], life end
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
redis.call('DEL', slot)
redis.call('HSET', slot, 'digest', ARGV[1], 'asked_by', ARGV[5], 'attempts', 0, 'elsewhere', 0)
redis.call('PEXPIRE', slot, ARGV[2])
return {'put', 0}
"""

# KEYS: the cool-down of the address, then the slots. ARGV: address. The last code has the longest life.
WITHDRAW = """
redis.call('DEL', KEYS[1])
local slot, most = nil, 0
for i = 2, #KEYS do
  local life = redis.call('PTTL', KEYS[i])
  if life > most and redis.call('HGET', KEYS[i], 'asked_by') == ARGV[1] then slot, most = KEYS[i], life end
end
if slot then redis.call('DEL', slot) end
return 1
"""

# KEYS: failures of the address, failures elsewhere, then the cool-down and the slots of each purpose. ARGV: attempts
# allowed, failures allowed, ms until failures are forgotten, address, client, receipt, ms that a repeat is accepted,
# slots, then the digest for each purpose. An empty client cannot repeat; a code of an unknown address is of each.
# Returns {'ok', which, receipt}, {'invalid', attempts left} or {'locked', ms until a new code can be asked for}.
# The attempt is counted before the comparison. The comparison need not take constant time: its duration tells something
# about a keyed digest, not about the code.
REDEEM = """
local allowed, failures, slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[8])
if tonumber(redis.call('GET', KEYS[1]) or 0) >= failures then
  return {'locked', redis.call('PTTL', KEYS[1])}
end
local closed = tonumber(redis.call('GET', KEYS[2]) or 0) >= failures
local left, locked, here, elsewhere = 0, -1, false, false
for purpose = 1, (#KEYS - 2) / (slots + 1) do
  local first = 3 + (purpose - 1) * (slots + 1)
  for i = first + 1, first + slots do
    local code = redis.call('HMGET', KEYS[i], 'digest', 'asked_by', 'attempts', 'elsewhere', 'receipt', 'used_by')
    local mine = code[2] == ARGV[4] or code[2] == ''
    local attempts = tonumber(mine and code[3] or code[4])
    local used = code[5]
    if not code[1] or (used and (ARGV[5] == '' or code[6] ~= ARGV[5])) then
      -- no code here, or one that another client has used
    elseif closed and not mine then
      locked = math.max(locked, redis.call('PTTL', KEYS[2]), 0)
    elseif attempts >= allowed then
      if not used then locked = math.max(locked, redis.call('PTTL', KEYS[first]), 0) end
    else
      attempts = redis.call('HINCRBY', KEYS[i], mine and 'attempts' or 'elsewhere', 1)
      if code[1] == ARGV[8 + purpose] then
        if used then return {'ok', purpose, used} end
        local life = redis.call('PTTL', KEYS[i])
        redis.call('HSET', KEYS[i], 'receipt', ARGV[6], 'used_by', ARGV[5], 'life', life)
        redis.call('PEXPIRE', KEYS[i], math.min(life, tonumber(ARGV[7])))
        return {'ok', purpose, ARGV[6]}
      end
      if not used then
        left = math.max(left, allowed - attempts)
        if mine then here = true else elsewhere = true end
      end
    end
  end
end
if here and redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if elsewhere and redis.call('INCR', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
if not here and not elsewhere and locked >= 0 then return {'locked', locked} end
return {'invalid', left}
"""

# KEYS: the slots. ARGV: digest.
GIVE_BACK = """
for i = 1, #KEYS do
  local code = redis.call('HMGET', KEYS[i], 'digest', 'receipt', 'life')
  if code[1] == ARGV[1] and code[2] then
    redis.call('HDEL', KEYS[i], 'receipt', 'used_by', 'life')
    redis.call('HSET', KEYS[i], 'attempts', 0)
    redis.call('PEXPIRE', KEYS[i], tonumber(code[3]))
  end
end
return 1
"""

log = structlog.get_logger(__name__)


class RedisOtpStore(OtpStore):
    """Neither codes nor numbers can be read from Redis without ``key``, a secret that is stored elsewhere."""

    def __init__(self, redis: Redis, *, key: bytes) -> None:
        self._key = key
        self._redis = redis
        self._put = redis.register_script(PUT)
        self._redeem = redis.register_script(REDEEM)
        self._withdraw = redis.register_script(WITHDRAW)
        self._give_back = redis.register_script(GIVE_BACK)

    def put(
        self, phone: PhoneNumber, purpose: Purpose, code: str, policy: OtpPolicy, origin: Origin = UNKNOWN_ORIGIN
    ) -> None:
        try:
            outcome, wait = self._put(
                keys=[
                    self._failures(phone, origin),
                    self._cooldown(phone, purpose, origin),
                    *self._slots(phone, purpose),
                ],
                args=[
                    self._digest("code", purpose, phone.e164, code),
                    _milliseconds(policy.lifetime),
                    _milliseconds(policy.resend_after),
                    policy.max_failures,
                    self._address(origin),
                ],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if outcome == b"locked":
            raise OtpLocked(retry_after=_seconds(wait))
        if outcome == b"soon":
            raise OtpResendTooSoon(retry_after=_seconds(wait))

    def redeem(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> Purpose:
        return self._use(phone, purposes, code, policy, origin=origin, client="", receipt="").purpose

    def redeem_once(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        *,
        receipt: str,
        origin: Origin,
    ) -> Redeemed:
        client = self._digest("client", origin.address, origin.device or "") if origin.address else ""
        return self._use(phone, purposes, code, policy, origin=origin, client=client, receipt=receipt)

    def _use(
        self,
        phone: PhoneNumber,
        purposes: Collection[Purpose],
        code: str,
        policy: OtpPolicy,
        *,
        origin: Origin,
        client: str,
        receipt: str,
    ) -> Redeemed:
        order: list[Purpose] = list(purposes)
        keys = [self._failures(phone, origin), f"otp-failures:{self._digest('failures', phone.e164)}"]
        for purpose in order:
            keys += [self._cooldown(phone, purpose, origin), *self._slots(phone, purpose)]
        try:
            outcome, number, *rest = self._redeem(
                keys=keys,
                args=[
                    policy.max_attempts,
                    policy.max_failures,
                    _milliseconds(policy.failures_forgotten_after),
                    self._address(origin),
                    client,
                    receipt,
                    _milliseconds(REPEAT_GRACE),
                    SLOTS,
                    *(self._digest("code", purpose, phone.e164, code) for purpose in order),
                ],
            )
        except RedisError as error:
            raise DependencyDown("otp_store") from error
        if outcome == b"ok":
            return Redeemed(order[int(number) - 1], rest[0].decode())
        if outcome == b"locked":
            raise OtpLocked(retry_after=_seconds(number))
        raise OtpInvalid(attempts_left=number)

    def give_back(self, phone: PhoneNumber, purpose: Purpose, code: str) -> None:
        try:
            self._give_back(keys=self._slots(phone, purpose), args=[self._digest("code", purpose, phone.e164, code)])
        except RedisError as error:
            log.warning("code_not_given_back", error=type(error).__name__)

    def void(self, phone: PhoneNumber) -> None:
        try:
            self._redis.delete(*(slot for purpose in Purpose for slot in self._slots(phone, purpose)))
        except RedisError as error:
            log.warning("codes_not_voided", error=type(error).__name__)

    def withdraw(self, phone: PhoneNumber, purpose: Purpose, origin: Origin = UNKNOWN_ORIGIN) -> None:
        try:
            self._withdraw(
                keys=[self._cooldown(phone, purpose, origin), *self._slots(phone, purpose)],
                args=[self._address(origin)],
            )
        except RedisError as error:
            log.warning("code_not_withdrawn", error=type(error).__name__)

    def _slots(self, phone: PhoneNumber, purpose: Purpose) -> list[str]:
        owner = self._digest("owner", purpose, phone.e164)
        return [f"otp:code:{owner}:{slot}" for slot in range(SLOTS)]

    def _cooldown(self, phone: PhoneNumber, purpose: Purpose, origin: Origin) -> str:
        return f"otp:cooldown:{self._digest('owner', purpose, phone.e164, origin.address or '')}"

    def _failures(self, phone: PhoneNumber, origin: Origin) -> str:
        return f"otp-failures:{self._digest('failures', phone.e164, origin.address or '')}"

    def _address(self, origin: Origin) -> str:
        return self._digest("address", origin.address) if origin.address else ""

    def _digest(self, *parts: str) -> str:
        message = "\x00".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _seconds(milliseconds: int) -> int:
    return max(ceil(milliseconds / 1000), 1)
