"""sessions and refresh tokens are purged in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.create_index(
        "ix_refresh_tokens_used",
        "refresh_tokens",
        ["used_at"],
        unique=False,
        postgresql_where=sa.text("used_at IS NOT NULL"),
    )
    op.create_index("ix_sessions_ended", "sessions", [sa.literal_column("LEAST(ended_at, expires_at)")], unique=False)


def downgrade() -> None:
    """One step down."""
    op.drop_index("ix_sessions_ended", table_name="sessions")
    op.drop_index(
        "ix_refresh_tokens_used", table_name="refresh_tokens", postgresql_where=sa.text("used_at IS NOT NULL")
    )
