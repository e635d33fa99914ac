"""billing: users who left while the provider could not be searched, and the account that customers are of."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.create_table(
        "leavers",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("searched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_leavers")),
    )
    op.create_table(
        "provider_accounts",
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("mode", name=op.f("pk_provider_accounts")),
    )


def downgrade() -> None:
    """One step down."""
    op.drop_table("provider_accounts")
    op.drop_table("leavers")
