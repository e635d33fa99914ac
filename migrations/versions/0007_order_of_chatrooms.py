"""entries are numbered within their chatroom.

Writers are not stopped. Columns and triggers come first, in a moment. Then the entries of some chatrooms at a time are
numbered in the order of their ids, which is the order they were shown in; an entry that is added to a chatroom whose
turn has not come (``last_sequence`` is NULL) is numbered with the others. Indexes are built concurrently. Numbering
rewrites each message and each reply once: reckon with a minute per million of both, and with VACUUM after it. A run
that was interrupted goes on from where it was when it is repeated.
"""

from alembic import op

from adapters.sql.migrate import concurrently

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UNFINISHED = "state IN ('queued', 'running')"

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
NUMBER_WHAT_IS_THERE = """
DO $$
DECLARE
    rooms uuid[];
    done uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        -- Locked first and read afterwards: what others were just adding is seen.
        SELECT array_agg(id ORDER BY id) INTO rooms FROM (
            SELECT id FROM chatrooms WHERE id > done AND last_sequence IS NULL
            ORDER BY id LIMIT 200 FOR UPDATE) AS next;
        EXIT WHEN rooms IS NULL;
        WITH numbered AS MATERIALIZED (
            SELECT id, chatroom_id, row_number() OVER (PARTITION BY chatroom_id ORDER BY id) AS sequence FROM (
                SELECT id, chatroom_id FROM messages WHERE chatroom_id = ANY(rooms)
                UNION ALL
                SELECT r.id, m.chatroom_id FROM messages m JOIN replies r ON r.message_id = m.id
                WHERE m.chatroom_id = ANY(rooms)) AS entries
        ), numbered_messages AS (
            UPDATE messages SET sequence = numbered.sequence FROM numbered WHERE messages.id = numbered.id
        ), numbered_replies AS (
            UPDATE replies SET sequence = numbered.sequence FROM numbered WHERE replies.id = numbered.id
        )
        UPDATE chatrooms SET last_sequence = (SELECT count(*) FROM numbered WHERE chatroom_id = chatrooms.id)
        WHERE id = ANY(rooms);
        COMMIT;
        done := rooms[array_upper(rooms, 1)];
    END LOOP;
END $$
"""


def upgrade() -> None:
    """One step up."""
    with op.get_context().autocommit_block():
        # No statement holds a lock while another one waits for its own.
        op.execute("ALTER TABLE chatrooms ADD COLUMN IF NOT EXISTS last_sequence bigint")
        for table in ("messages", "replies"):
            op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS sequence bigint")
        op.execute(NUMBER_ENTRIES)
        for table in ("messages", "replies"):
            op.execute(
                f"CREATE OR REPLACE TRIGGER number_entry BEFORE INSERT ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION number_entry()"
            )
        # A chatroom that begins to count has triggers that do.
        op.execute("ALTER TABLE chatrooms ALTER last_sequence SET DEFAULT 0")
        op.execute(NUMBER_WHAT_IS_THERE)
    with concurrently():
        for table in ("messages", "replies"):
            _replace_index(f"ix_{table}_chatroom_id_sequence", f"{table} (chatroom_id, sequence)", unique=True)
        _replace_index("ix_replies_unfinished", f"replies (chatroom_id, sequence) WHERE {UNFINISHED}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_messages_chatroom_id_id")
    with op.get_context().autocommit_block():
        for table, column in (("chatrooms", "last_sequence"), ("messages", "sequence"), ("replies", "sequence")):
            _set_not_null(table, column)


def downgrade() -> None:
    """One step down."""
    op.execute("DROP FUNCTION number_entry CASCADE")
    op.drop_index("ix_replies_unfinished", table_name="replies")
    op.create_index(
        "ix_replies_unfinished", "replies", ["chatroom_id", "id"], postgresql_where="state IN ('queued', 'running')"
    )
    op.create_index(op.f("ix_messages_chatroom_id_id"), "messages", ["chatroom_id", "id"])
    op.drop_column("replies", "sequence")
    op.drop_column("messages", "sequence")
    op.drop_column("chatrooms", "last_sequence")


def _replace_index(name: str, what: str, *, unique: bool = False) -> None:
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {what}")


def _set_not_null(table: str, column: str) -> None:
    # With a valid constraint that says so, the table is not read while it is locked.
    constraint = f"ck_{table}_{column}_given"
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({column} IS NOT NULL) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
    op.execute(f"ALTER TABLE {table} ALTER {column} SET NOT NULL")
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
