"""chatrooms are called after their first message, can be pinned and archived; messages and replies can be searched.

Writers are not stopped: the columns may be NULL, and indexes are built concurrently, each in one reading of its table.
Workers of this release then fill ``words``, the newest entries first, which rewrites each message and each reply once:
they spend a fifth of their sweeper's time on it, which is some hours for a million of both; VACUUM comes after it. What
processes of the release before add is filled as well. A run that was interrupted goes on from where it was when it is
repeated.
"""

from alembic import op

from adapters.sql.migrate import concurrently

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UNSEARCHABLE = {"messages": "words IS NULL", "replies": "words IS NULL AND content IS NOT NULL"}


def upgrade() -> None:
    """One step up."""
    # The title that a chatroom got from the message of the key.
    op.execute("ALTER TABLE idempotency_keys ADD COLUMN IF NOT EXISTS title text")
    for column in ("pinned_at", "archived_at"):
        op.execute(f"ALTER TABLE chatrooms ADD COLUMN IF NOT EXISTS {column} timestamptz")
    for table in UNSEARCHABLE:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS words tsvector")
    with concurrently():
        for which in ("pinned", "archived"):
            _build(f"ix_chatrooms_{which}", f"chatrooms (user_id, id) WHERE {which}_at IS NOT NULL")
        for table, condition in UNSEARCHABLE.items():
            _build(f"ix_{table}_unsearchable", f"{table} (id) WHERE {condition}")
            words = f"{table} USING gin (words) WITH (fastupdate = off) WHERE words IS NOT NULL"
            _build(f"ix_{table}_words", words)


def downgrade() -> None:
    """One step down."""
    for table in UNSEARCHABLE:
        op.drop_index(f"ix_{table}_words", table_name=table)
        op.drop_index(f"ix_{table}_unsearchable", table_name=table)
        op.drop_column(table, "words")
    for which in ("archived", "pinned"):
        op.drop_index(f"ix_chatrooms_{which}", table_name="chatrooms")
        op.drop_column("chatrooms", f"{which}_at")
    op.drop_column("idempotency_keys", "title")


def _build(name: str, what: str) -> None:
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")
