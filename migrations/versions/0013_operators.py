"""operators lock accounts, grant Pro, and say why."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.add_column("users", sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("pro_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("audit_events", sa.Column("note", sa.Text(), nullable=True))


def downgrade() -> None:
    """One step down."""
    op.drop_column("audit_events", "note")
    op.drop_column("users", "pro_until")
    op.drop_column("users", "locked_at")
