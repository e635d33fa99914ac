"""The tables. Migrations make them; a test holds the two together."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _owner() -> Column[object]:
    return Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("phone", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("email", Text),
    Column("password_hash", Text),
    _moment("created_at"),
    _moment("verified_at", nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    _owner(),
    Column("method", Text, nullable=False),
    _moment("started_at"),
    _moment("expires_at"),
    _moment("ended_at", nullable=True),
    Index(None, "user_id"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("status", Text, nullable=False),
    _moment("current_period_end", nullable=True),
    Column("cancel_at_period_end", Boolean, nullable=False, server_default=text("false")),
    # What the payment provider calls it, and what our policy made of it when it was written.
    Column("subscription_id", Text),
    Column("price_id", Text),
    Column("price_is_ours", Boolean, nullable=False, server_default=text("true")),
    _moment("grace_ends_at", nullable=True),
    # Counted up by every write: a write over an older version is refused.
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _moment("synced_at", nullable=True),
)

chatrooms = Table(
    "chatrooms",
    metadata,
    Column("id", Uuid, primary_key=True),
    _owner(),
    Column("name", Text, nullable=False),
    Column("system_prompt", Text),
    _moment("created_at"),
    _moment("updated_at"),
    # UUIDv7 ids sort by time of creation: this serves "newest first" and its keyset pages.
    Index(None, "user_id", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The user is the chatroom's.
    Column("chatroom_id", Uuid, ForeignKey("chatrooms.id", ondelete="CASCADE"), nullable=False),
    Column("content", Text, nullable=False),
    _moment("created_at"),
    Index(None, "chatroom_id", "id"),
)

UNFINISHED = text("state IN ('queued', 'running')")

replies = Table(
    "replies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    # Of the message; repeated here so that claiming and refunding need no join. No foreign keys of their own, and so no
    # indexes for them: what goes with the chatroom or the user goes through the message.
    Column("chatroom_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    _moment("available_at"),
    _moment("deadline"),
    Column("lease_token", Uuid),
    _moment("lease_until", nullable=True),
    Column("charged_on", Date, nullable=False),
    _moment("refunded_at", nullable=True),
    Column("content", Text),
    Column("model", Text),
    Column("truncated", Boolean, nullable=False, server_default=text("false")),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("failure", Text),
    _moment("created_at"),
    _moment("started_at", nullable=True),
    _moment("finished_at", nullable=True),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state_known"),
    CheckConstraint(
        "(state = 'running') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)",
        name="running_has_lease",
    ),
    CheckConstraint("state <> 'done' OR content IS NOT NULL", name="done_has_content"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failed_says_why"),
    Index(None, "message_id", "id"),
    # What is due, oldest first. A running reply is due when its lease runs out, a queued one when it is available.
    Index("ix_replies_due", text("COALESCE(lease_until, available_at)"), postgresql_where=UNFINISHED),
    # Whether an earlier reply of the chatroom is unfinished.
    Index("ix_replies_unfinished", "chatroom_id", "id", postgresql_where=UNFINISHED),
)

daily_usage = Table(
    "daily_usage",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, nullable=False),
    Column("refunded", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("used >= 0", name="used_not_negative"),
)

# --- Billing ---

customers = Table(
    "customers",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("customer_id", Text, nullable=False, unique=True),
    _moment("created_at"),
    # When it was last taken to be compared with the payment provider.
    _moment("reconciled_at", nullable=True),
    Index(None, "reconciled_at"),
)

checkouts = Table(
    "checkouts",
    metadata,
    # One a user: the next takes its place.
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt_id", Uuid, nullable=False, unique=True),
    Column("price_id", Text, nullable=False),
    Column("success_url", Text, nullable=False),
    Column("cancel_url", Text, nullable=False),
    Column("checkout_id", Text, unique=True),
    _moment("begun_at"),
    _moment("closed_at", nullable=True),
)

payment_events = Table(
    "payment_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failure", Text),
    # Of what was sent only what is needed: whom to ask the provider about, and an amount.
    Column("concern", Text, nullable=False),
    Column("customer_id", Text),
    Column("checkout_id", Text),
    Column("charge_id", Text),
    Column("money_kind", Text),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("object_id", Text),
    _moment("created_at"),
    _moment("received_at"),
    _moment("due_at"),
    _moment("settled_at", nullable=True),
    CheckConstraint("state IN ('pending', 'done', 'ignored', 'failed')", name="state_known"),
    Index("ix_payment_events_due", "due_at", postgresql_where=text("state = 'pending'")),
    Index(None, "user_id"),
)

payment_entries = Table(
    "payment_entries",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    _moment("occurred_at"),
    _moment("recorded_at"),
    Index(None, "user_id"),
)
