"""erased_usage: what a number used on the day its account was erased; unproven sign-ups are purged in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.create_table(
        "erased_usage",
        sa.Column("phone_digest", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("phone_digest", "day", name=op.f("pk_erased_usage")),
    )
    op.create_index(
        "ix_users_unproven", "users", ["created_at"], unique=False, postgresql_where=sa.text("verified_at IS NULL")
    )


def downgrade() -> None:
    """One step down."""
    op.drop_index("ix_users_unproven", table_name="users", postgresql_where=sa.text("verified_at IS NULL"))
    op.drop_table("erased_usage")
