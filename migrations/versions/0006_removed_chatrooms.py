"""chatrooms may be removed before their rows are deleted: they have no user then."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.alter_column("chatrooms", "user_id", nullable=True)


def downgrade() -> None:
    """One step down."""
    op.execute("DELETE FROM chatrooms WHERE user_id IS NULL")
    op.alter_column("chatrooms", "user_id", nullable=False)
