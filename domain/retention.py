"""How long data is kept after its purpose has ended. ``application.operations.retention`` deletes it then."""

from datetime import timedelta

# For so long a repeated request with the same Idempotency-Key gets the answer of the first one.
IDEMPOTENCY_KEYS_KEPT_FOR = timedelta(hours=24)

# A sign-up whose number was not verified by then is forgotten.
UNPROVEN_SIGN_UPS_KEPT_FOR = timedelta(days=7)

# Counted from the end of the session. Users find them in the export of their account until then.
ENDED_SESSIONS_KEPT_FOR = timedelta(days=30)

# A used refresh token is kept to notice that it is shown again, which ends its session. After that time it is refused
# like any unknown token.
USED_REFRESH_TOKENS_KEPT_FOR = timedelta(days=7)

# At most so many rows of a table are deleted in one transaction: it ends soon, whatever there is to delete.
ROWS_PER_BATCH = 1_000

# Stripe sends an event again for three days. Events are kept longer for operators who ask what has happened.
PAYMENT_EVENTS_KEPT_FOR = timedelta(days=90)
