"""chatrooms are called after their first message, and its key remembers what it has called them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.add_column("idempotency_keys", sa.Column("title", sa.Text(), nullable=True))


def downgrade() -> None:
    """One step down."""
    op.drop_column("idempotency_keys", "title")
