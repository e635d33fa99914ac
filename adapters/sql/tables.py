"""The tables. Migrations create them; a test compares the two."""

from collections.abc import Callable

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

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


def _sequence() -> Column[object]:
    # The place of an entry in its chatroom. The database gives it: see NUMBER_ENTRIES.
    return Column("sequence", BigInteger, nullable=False)


def _words() -> Column[object]:
    # What the text can be found by (adapters/sql/search.py); NULL until a worker has seen to it.
    return Column("words", TSVECTOR)


def _indexes_of_words(table: str, missing: str) -> tuple[Index, Index]:
    # Without a list of pending entries: workers fill the index, and a search need not read what they have just added.
    return (
        Index(
            f"ix_{table}_words",
            "words",
            postgresql_using="gin",
            postgresql_where=text("words IS NOT NULL"),
            postgresql_with={"fastupdate": "off"},
        ),
        # Those that workers have not seen to.
        Index(f"ix_{table}_unsearchable", "id", postgresql_where=text(missing)),
    )


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
    _moment("locked_at", nullable=True),
    _moment("pro_until", nullable=True),
    # Which sign-ups were never verified.
    Index("ix_users_unproven", "created_at", postgresql_where=text("verified_at IS NULL")),
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
    Column("device", Text),
    _moment("last_used_at", nullable=True),
    Index(None, "user_id"),
    # Which ones ended long ago.
    Index("ix_sessions_ended", text("LEAST(ended_at, expires_at)")),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    # The user and the expiry are those of the session.
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _moment("issued_at"),
    _moment("used_at", nullable=True),
    # Not read or written any more: it stays while processes of the version before may run.
    Column("forgiven", Boolean, nullable=False, server_default=text("false")),
    Index(None, "session_id"),
    # Which ones were used long ago.
    Index("ix_refresh_tokens_used", "used_at", postgresql_where=text("used_at IS NOT NULL")),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    _moment("at"),
    Column("what", Text, nullable=False),
    # No foreign keys: an event outlives its user, and inserting one waits for no lock. Erasure sets these to NULL.
    Column("user_id", Uuid),
    Column("session_id", Uuid),
    Column("phone_digest", Text),
    Column("address", Text),
    Column("device", Text),
    Column("note", Text),
    Index(None, "user_id", "id"),
    Index(None, "phone_digest", "id"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("status", Text, nullable=False),
    _moment("current_period_end", nullable=True),
    Column("cancel_at_period_end", Boolean, nullable=False, server_default=text("false")),
    # The payment provider's ids, and what our billing policy made of them at the time of writing.
    Column("subscription_id", Text),
    Column("price_id", Text),
    Column("price_is_ours", Boolean, nullable=False, server_default=text("true")),
    _moment("grace_ends_at", nullable=True),
    # Optimistic locking: each write increments it, and a write over an older version is refused.
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _moment("synced_at", nullable=True),
)

chatrooms = Table(
    "chatrooms",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Without a user: a removed chatroom, whose rows the workers delete.
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("system_prompt", Text),
    _moment("created_at"),
    _moment("updated_at"),
    # How many entries it has had; the next one gets the next number.
    Column("last_sequence", BigInteger, nullable=False, server_default=text("0")),
    # Never both.
    _moment("pinned_at", nullable=True),
    _moment("archived_at", nullable=True),
    # UUIDv7 ids sort by time of creation: this serves "newest first" and its keyset pages.
    Index(None, "user_id", "id"),
    # Few of many: to find them, a list reads no others.
    Index("ix_chatrooms_pinned", "user_id", "id", postgresql_where=text("pinned_at IS NOT NULL")),
    Index("ix_chatrooms_archived", "user_id", "id", postgresql_where=text("archived_at IS NOT NULL")),
)

# The version and the length of each user's list of chatrooms, which triggers keep (docs/decisions/0041). A list that
# has not changed since there are versions has no row.
chatroom_lists = Table(
    "chatroom_lists",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, nullable=False),
    # Those in the archive among them.
    Column("chatroom_count", BigInteger, nullable=False),
    # Room for the next version beside each row: no index is written for it.
    postgresql_with={"fillfactor": "50"},
)

# The default, a fifth of a table, is late for a big one: dead rows of a queue and new ones are a small part of it.
OFTEN_VACUUMED = {
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_insert_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.02,
}

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    # The user is that of the chatroom.
    Column("chatroom_id", Uuid, ForeignKey("chatrooms.id", ondelete="CASCADE"), nullable=False),
    Column("content", Text, nullable=False),
    _moment("created_at"),
    _sequence(),
    _words(),
    Index(None, "chatroom_id", "sequence", unique=True),
    *_indexes_of_words("messages", "words IS NULL"),
    postgresql_with=OFTEN_VACUUMED,
)

UNFINISHED = text("state IN ('queued', 'running')")

replies = Table(
    "replies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    # Those of the message, repeated so that claiming and refunding need no join. Without foreign keys, which would need
    # indexes: deleting a chatroom or a user reaches the replies through the messages.
    Column("chatroom_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    # Pro before Basic: 0 goes first.
    Column("priority", SmallInteger, nullable=False, server_default=text("1")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    # The generation of the text: counts every claim, also those whose attempt was handed back and does not count.
    Column("run", Integer, nullable=False, server_default=text("0")),
    _moment("available_at"),
    _moment("deadline"),
    Column("lease_token", Uuid),
    _moment("lease_until", nullable=True),
    _moment("stop_requested_at", nullable=True),
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
    # The user's feedback.
    Column("rating", Text),
    Column("rating_reasons", ARRAY(Text)),
    Column("rating_comment", Text),
    _moment("rated_at", nullable=True),
    _sequence(),
    _words(),
    *_indexes_of_words("replies", "words IS NULL AND content IS NOT NULL"),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state_known"),
    CheckConstraint(
        "(state = 'running') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)",
        name="running_has_lease",
    ),
    CheckConstraint("state <> 'done' OR content IS NOT NULL", name="done_has_content"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failed_says_why"),
    Index(None, "message_id", "id"),
    Index(None, "chatroom_id", "sequence", unique=True),
    CheckConstraint("(finished_at IS NULL) = (state IN ('queued', 'running'))", name="final_has_end"),
    CheckConstraint("rating IN ('up', 'down')", name="rating_known"),
    CheckConstraint("(rating IS NULL) = (rated_at IS NULL)", name="rating_has_time"),
    # For operators: what was rated last. Feedback is rare, so most replies are not in it.
    Index("ix_replies_rated", "rating", "rated_at", postgresql_where=text("rating IS NOT NULL")),
    # Three indexes of unfinished replies. Their conditions mean the same and imply none of the others, so that each
    # statement can use one of them only (adapters/sql/replies.py).
    # Due replies, oldest first. A running reply is due when its lease expires, a queued one when it is available.
    Index(
        "ix_replies_due",
        "priority",
        text("COALESCE(lease_until, available_at)"),
        postgresql_where=UNFINISHED,
    ),
    # The first unfinished reply of a chatroom.
    Index(
        "ix_replies_unfinished_by_room",
        "chatroom_id",
        "sequence",
        postgresql_where=text("finished_at IS NULL AND sequence > 0"),
    ),
    # How many replies of a user are unfinished, and how many of them are running.
    Index(
        "ix_replies_unfinished_by_user",
        "user_id",
        "lease_until",
        postgresql_where=text("finished_at IS NULL AND run >= 0"),
    ),
    postgresql_with=OFTEN_VACUUMED,
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

# What a number used on the day that its account was erased, for the rest of that day.
erased_usage = Table(
    "erased_usage",
    metadata,
    Column("phone_digest", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("message_id", Uuid, ForeignKey("messages.id", ondelete="CASCADE")),
    Column("reply_id", Uuid),
    Column("quota_plan", Text),
    Column("quota_day", Date),
    Column("quota_used", Integer),
    Column("quota_limit", Integer),
    Column("reference", Text),
    # Which the chatroom got from the message.
    Column("title", Text),
    _moment("created_at"),
    CheckConstraint("(message_id IS NULL) <> (reference IS NULL)", name="one_answer"),
    Index(None, "created_at"),
    Index(None, "message_id"),
)

# An entry gets its number under the lock of its chatroom's row, which is held until the commit: so numbers become
# visible in their order, and a reader of one has missed none before it. A trigger, so that it holds for whatever
# adds an entry, also for processes of the release before while this one is being rolled out.
NUMBER_ENTRIES = """
CREATE OR REPLACE FUNCTION number_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chatrooms SET last_sequence = last_sequence + 1 WHERE id = NEW.chatroom_id
    RETURNING last_sequence INTO NEW.sequence;
    IF NOT FOUND THEN
        RAISE foreign_key_violation;
    END IF;
    RETURN NEW;
END $$
"""
NUMBER_ENTRIES_OF = {
    table: f"CREATE TRIGGER number_entry BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION number_entry()"
    for table in ("messages", "replies")
}

# A version is the microsecond in which the list changed, or more: so a database that was restored, or a server that has
# lost its last transactions, does not give a version again that a cached page has.
# The row is the last that a transaction locks (adapters/sql/unit_of_work.py), so changes of one list take turns.
# A user who is being deleted gets no row.
TOUCH_LIST = """
CREATE OR REPLACE FUNCTION touch_chatroom_list(owner uuid, added bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    UPDATE chatroom_lists
    SET version = GREATEST(version + 1, moment), chatroom_count = chatroom_count + added
    WHERE user_id = owner;
    IF NOT FOUND THEN
        INSERT INTO chatroom_lists (user_id, version, chatroom_count)
        SELECT id, moment, (SELECT count(*) FROM chatrooms WHERE user_id = owner) FROM users WHERE id = owner
        ON CONFLICT (user_id) DO UPDATE
        SET version = GREATEST(chatroom_lists.version + 1, moment),
            chatroom_count = chatroom_lists.chatroom_count + added;
    END IF;
END $$
"""
# Of a statement that adds or deletes chatrooms, of many perhaps. Lists are locked in the order of their users.
TOUCH_LISTS = """
CREATE OR REPLACE FUNCTION touch_chatroom_lists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch_chatroom_list(user_id, CASE TG_OP WHEN 'DELETE' THEN -rooms ELSE rooms END)
    FROM (SELECT user_id, count(*) AS rooms FROM changed WHERE user_id IS NOT NULL
          GROUP BY user_id ORDER BY user_id) AS lists;
    RETURN NULL;
END $$
"""
TOUCH_LISTS_OF_ROW = """
CREATE OR REPLACE FUNCTION touch_chatroom_lists_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.user_id IS NOT DISTINCT FROM NEW.user_id THEN
        PERFORM touch_chatroom_list(NEW.user_id, 0);
    ELSE
        PERFORM touch_chatroom_list(owner, added)
        FROM (SELECT * FROM (VALUES (OLD.user_id, -1), (NEW.user_id, 1)) AS moved (owner, added)
              WHERE owner IS NOT NULL ORDER BY owner) AS lists;
    END IF;
    RETURN NULL;
END $$
"""
# Numbering an entry updates its chatroom, too, and changes no column that a list shows or is ordered by.
LIST_TRIGGERS = (
    """
CREATE TRIGGER touch_lists_on_insert AFTER INSERT ON chatrooms REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION touch_chatroom_lists()
""",
    """
CREATE TRIGGER touch_lists_on_delete AFTER DELETE ON chatrooms REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION touch_chatroom_lists()
""",
    """
CREATE TRIGGER touch_lists_on_update AFTER UPDATE OF user_id, name, updated_at, pinned_at, archived_at ON chatrooms
    FOR EACH ROW WHEN ((OLD.user_id, OLD.name, OLD.updated_at, OLD.pinned_at, OLD.archived_at)
                       IS DISTINCT FROM (NEW.user_id, NEW.name, NEW.updated_at, NEW.pinned_at, NEW.archived_at))
    EXECUTE FUNCTION touch_chatroom_lists_of_row()
""",
)


def _execute(statement: str) -> Callable[..., None]:
    def on_create(_table: object, connection: Connection, **_: object) -> None:
        connection.exec_driver_sql(statement)

    return on_create


event.listen(messages, "before_create", _execute(NUMBER_ENTRIES))
for table in (messages, replies):
    event.listen(table, "after_create", _execute(NUMBER_ENTRIES_OF[table.name]))

for statement in (TOUCH_LIST, TOUCH_LISTS, TOUCH_LISTS_OF_ROW, *LIST_TRIGGERS):
    event.listen(chatrooms, "after_create", _execute(statement))

# --- Billing ---

customers = Table(
    "customers",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("customer_id", Text, nullable=False, unique=True),
    # Where the customer exists: live, test or sandbox. NULL: added before this was stored.
    Column("mode", Text),
    _moment("created_at"),
    # When it was last taken for reconciliation with the payment provider.
    _moment("reconciled_at", nullable=True),
    Index(None, "reconciled_at"),
)

# Customers of users who were erased, keyed to nothing else: what they still buy is cancelled and refunded.
erased_customers = Table(
    "erased_customers",
    metadata,
    Column("customer_id", Text, primary_key=True),
    _moment("erased_at"),
    _moment("checked_at", nullable=True),
    Index(None, "erased_at"),
)

# Erased users, until the provider was searched for customers of theirs.
leavers = Table(
    "leavers",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    _moment("left_at"),
    _moment("searched_at", nullable=True),
)

# The provider's account that the customers of a mode are of.
provider_accounts = Table(
    "provider_accounts",
    metadata,
    Column("mode", Text, primary_key=True),
    Column("account", Text, nullable=False),
)

refunds_owed = Table(
    "refunds_owed",
    metadata,
    # The id of a subscription whose payment is to be returned, or of a refund that has failed.
    Column("reference", Text, primary_key=True),
    Column("customer_id", Text),
    Column("state", Text, nullable=False),
    _moment("noted_at"),
    _moment("due_at"),
    CheckConstraint("state IN ('due', 'refused', 'failed', 'settled')", name="state_known"),
    Index("ix_refunds_owed_due", "due_at", postgresql_where=text("state = 'due'")),
)

checkouts = Table(
    "checkouts",
    metadata,
    # One for each user: the next checkout replaces it.
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
    # Only the needed part of the event: the objects to ask the provider about, and an amount.
    Column("concern", Text, nullable=False),
    Column("customer_id", Text),
    Column("checkout_id", Text),
    Column("charge_id", Text),
    # The user whose id our key has written into the object; no foreign key, since it may be of no user of ours.
    Column("named_user", Uuid),
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
    Index("ix_payment_events_ignored", "customer_id", postgresql_where=text("state = 'ignored'")),
    Index("ix_payment_events_named_user", "named_user", postgresql_where=text("named_user IS NOT NULL")),
    Index(None, "received_at"),
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
    Index(None, "object_id"),
    Index(None, "user_id"),
)
