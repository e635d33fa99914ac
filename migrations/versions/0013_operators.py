"""operators lock accounts, grant Pro, and say why."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    with op.get_context().autocommit_block():
        # No statement holds a lock while another one waits for its own.
        op.execute(
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS locked_at timestamptz,"
            " ADD COLUMN IF NOT EXISTS pro_until timestamptz"
        )
        op.execute("ALTER TABLE audit_events ADD COLUMN IF NOT EXISTS note text")


def downgrade() -> None:
    """One step down."""
    op.drop_column("audit_events", "note")
    op.drop_column("users", "pro_until")
    op.drop_column("users", "locked_at")
