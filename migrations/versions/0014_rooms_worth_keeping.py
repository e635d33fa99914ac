"""chatrooms are called after their first message, and can be pinned and archived.

Writers are not stopped: the columns may be NULL, and indexes are built concurrently. A run that was interrupted goes on
from where it was when it is repeated.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    # The title that a chatroom got from the message of the key.
    op.execute("ALTER TABLE idempotency_keys ADD COLUMN IF NOT EXISTS title text")
    for column in ("pinned_at", "archived_at"):
        op.execute(f"ALTER TABLE chatrooms ADD COLUMN IF NOT EXISTS {column} timestamptz")
    with op.get_context().autocommit_block():
        # Building an index concurrently waits for other transactions, and blocks no writer meanwhile.
        op.execute("SET lock_timeout = 0")
        for which in ("pinned", "archived"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS ix_chatrooms_{which}")
            what = f"chatrooms (user_id, id) WHERE {which}_at IS NOT NULL"
            op.execute(f"CREATE INDEX CONCURRENTLY ix_chatrooms_{which} ON {what}")
        op.execute("SET lock_timeout = 5000")


def downgrade() -> None:
    """One step down."""
    for which in ("archived", "pinned"):
        op.drop_index(f"ix_chatrooms_{which}", table_name="chatrooms")
        op.drop_column("chatrooms", f"{which}_at")
    op.drop_column("idempotency_keys", "title")
