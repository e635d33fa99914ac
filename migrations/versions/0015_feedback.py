"""users rate replies.

The columns are empty at first, so adding them writes no row. Writers are not stopped: the index is built concurrently,
and the constraints are validated while others write. A run that was interrupted goes on from where it was when it is
repeated. The release before neither reads nor writes the columns.
"""

from alembic import op

from adapters.sql.migrate import concurrently

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COLUMNS = {
    "rating": "text",
    "rating_reasons": "text[]",
    "rating_comment": "text",
    "rated_at": "timestamptz",
}
CONSTRAINTS = {
    "ck_replies_rating_known": "rating IN ('up', 'down')",
    "ck_replies_rating_has_time": "(rating IS NULL) = (rated_at IS NULL)",
}


def upgrade() -> None:
    """One step up."""
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in COLUMNS.items())
    op.execute(f"ALTER TABLE replies {added}")
    with op.get_context().autocommit_block():
        for name, condition in CONSTRAINTS.items():
            op.execute(f"ALTER TABLE replies DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE replies ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
            # Reads the table, and lets others write meanwhile.
            op.execute(f"ALTER TABLE replies VALIDATE CONSTRAINT {name}")
    with concurrently():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_replies_rated")
        op.execute("CREATE INDEX CONCURRENTLY ix_replies_rated ON replies (rating, rated_at) WHERE rating IS NOT NULL")


def downgrade() -> None:
    """One step down."""
    op.drop_index("ix_replies_rated", table_name="replies")
    for name in CONSTRAINTS:
        op.execute(f"ALTER TABLE replies DROP CONSTRAINT {name}")
    for name in COLUMNS:
        op.drop_column("replies", name)
