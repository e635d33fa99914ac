"""The daily use of the plans in PostgreSQL."""

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.subscriptions import GRANTED_UNTIL, SUBSCRIPTION_COLUMNS, subscription_from
from application.ports.usage import Usage
from domain.accounts import UserId
from domain.billing import plan_of
from domain.plans import Allowances, DailyQuota
from domain.replies import Charge

# Days are UTC days, by the database's clock.
TODAY = "(now() AT TIME ZONE 'utc')::date"

PLAN_OF = f"""
SELECT {GRANTED_UNTIL}, {SUBSCRIPTION_COLUMNS}
FROM users u LEFT JOIN subscriptions s ON s.user_id = u.id WHERE u.id = %(user_id)s
"""  # noqa: S608 - columns, no values
# Check and charge are one statement: concurrent calls cannot charge more than the limit.
SPEND = f"""
INSERT INTO daily_usage (user_id, day, used)
SELECT %(user_id)s, {TODAY}, 1 WHERE %(limit)s::integer IS NULL OR %(limit)s > 0
ON CONFLICT (user_id, day) DO UPDATE SET used = daily_usage.used + 1
WHERE %(limit)s::integer IS NULL OR daily_usage.used < %(limit)s
RETURNING day, used
"""
USED_TODAY = f"""
SELECT today.day, COALESCE(u.used, 0) AS used
FROM (SELECT {TODAY} AS day) AS today
LEFT JOIN daily_usage u ON u.user_id = %(user_id)s AND u.day = today.day
"""  # noqa: S608 - parts of statements, no values
RESTORE = f"""
INSERT INTO daily_usage (user_id, day, used)
SELECT %(user_id)s, day, MAX(used) FROM erased_usage
WHERE phone_digest = ANY (%(phone_digests)s) AND day = {TODAY} GROUP BY day
ON CONFLICT (user_id, day) DO UPDATE SET used = GREATEST(daily_usage.used, EXCLUDED.used)
"""  # noqa: S608 - parts of statements, no values
# An array is made once; what stands after IN may be asked again for each row, and delete more than the limit. The key
# has two columns, and a row that is locked stays where it is.
PURGE_ERASED = f"""
DELETE FROM erased_usage WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM erased_usage WHERE day < {TODAY} LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""  # noqa: S608 - parts of statements, no values
REFUND = """
UPDATE daily_usage SET used = used - LEAST(used, %(prompts)s), refunded = refunded + LEAST(used, %(prompts)s)
WHERE user_id = %(user_id)s AND day = %(day)s AND used > 0
"""


class SqlUsage(Usage):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        self._cursor.execute(PLAN_OF, {"user_id": user_id})
        granted_until, *subscription = self._cursor.fetchone() or (None, None)
        plan = plan_of(subscription_from(subscription), granted=granted_until is not None)
        limit = allowances[plan].daily_prompts
        self._cursor.execute(SPEND, {"user_id": user_id, "limit": limit})
        row = self._cursor.fetchone()
        if row is not None:
            return DailyQuota(day=row[0], used=row[1], limit=limit, plan=plan)
        self._cursor.execute(USED_TODAY, {"user_id": user_id})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a select from a constant row always has a row
        raise DailyQuota(day=row[0], used=row[1], limit=limit, plan=plan).exhausted()

    def restore(self, user_id: UserId, *, phone_digests: Sequence[str]) -> None:
        self._cursor.execute(RESTORE, {"user_id": user_id, "phone_digests": list(phone_digests)})

    def purge_erased(self, *, limit: int) -> int:
        self._cursor.execute(PURGE_ERASED, {"limit": limit})
        return self._cursor.rowcount

    def refund(self, charge: Charge, *, prompts: int = 1) -> None:
        self._cursor.execute(REFUND, {"user_id": charge.user_id, "day": charge.day, "prompts": prompts})
