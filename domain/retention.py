"""How long data is kept after its purpose has ended. ``application.operations.retention`` deletes it then."""

from datetime import timedelta

# For so long a repeated request with the same Idempotency-Key gets the answer of the first one.
IDEMPOTENCY_KEYS_KEPT_FOR = timedelta(hours=24)

# Counted from the end of the session. Users find them in the export of their account until then.
ENDED_SESSIONS_KEPT_FOR = timedelta(days=30)

# A used refresh token is kept to notice that it is shown again, which ends its session. After that time it is refused
# like any unknown token.
USED_REFRESH_TOKENS_KEPT_FOR = timedelta(days=7)

# Stripe sends an event again for three days. Events are kept longer for operators who ask what has happened.
PAYMENT_EVENTS_KEPT_FOR = timedelta(days=90)
