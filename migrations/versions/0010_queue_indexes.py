"""indexes of unfinished replies whose use does not depend on statistics, and vacuum settings for big tables.

Writers are not stopped: indexes are built and dropped concurrently. The release before uses ``ix_replies_due`` in place
of the two that are dropped, at a higher cost of claims while many replies wait. A run that was interrupted goes on from
where it was when it is repeated.
"""

from alembic import op

from adapters.sql.migrate import concurrently

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OFTEN_VACUUMED = {
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_insert_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.02,
}
BY_ROOM = "replies (chatroom_id, sequence) WHERE finished_at IS NULL AND sequence > 0"
BY_USER = "replies (user_id, lease_until) WHERE finished_at IS NULL AND run >= 0"
UNFINISHED = "state IN ('queued', 'running')"


def upgrade() -> None:
    """One step up."""
    settings = ", ".join(f"{name} = {value}" for name, value in OFTEN_VACUUMED.items())
    for table in ("messages", "replies"):
        op.execute(f"ALTER TABLE {table} SET ({settings})")
    with concurrently():
        _build("ix_replies_unfinished_by_room", BY_ROOM)
        _build("ix_replies_unfinished_by_user", BY_USER)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_replies_unfinished")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_replies_unfinished_of_user")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE replies DROP CONSTRAINT IF EXISTS ck_replies_final_has_end")
        op.execute(
            "ALTER TABLE replies ADD CONSTRAINT ck_replies_final_has_end"
            f" CHECK ((finished_at IS NULL) = ({UNFINISHED})) NOT VALID"
        )
        # Reads the table, and lets others write meanwhile.
        op.execute("ALTER TABLE replies VALIDATE CONSTRAINT ck_replies_final_has_end")


def downgrade() -> None:
    """One step down."""
    op.execute("ALTER TABLE replies DROP CONSTRAINT ck_replies_final_has_end")
    op.drop_index("ix_replies_unfinished_by_user", table_name="replies")
    op.drop_index("ix_replies_unfinished_by_room", table_name="replies")
    op.create_index("ix_replies_unfinished", "replies", ["chatroom_id", "sequence"], postgresql_where=UNFINISHED)
    op.create_index("ix_replies_unfinished_of_user", "replies", ["user_id", "state"], postgresql_where=UNFINISHED)
    for table in ("messages", "replies"):
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(OFTEN_VACUUMED)})")


def _build(name: str, what: str) -> None:
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")
