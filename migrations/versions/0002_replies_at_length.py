"""replies are streamed, stopped, repeated."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("reply_id", sa.Uuid(), nullable=False),
        sa.Column("quota_plan", sa.Text(), nullable=False),
        sa.Column("quota_day", sa.Date(), nullable=False),
        sa.Column("quota_used", sa.Integer(), nullable=False),
        sa.Column("quota_limit", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_idempotency_keys_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_index(op.f("ix_idempotency_keys_message_id"), "idempotency_keys", ["message_id"], unique=False)
    op.add_column("replies", sa.Column("priority", sa.SmallInteger(), server_default=sa.text("1"), nullable=False))
    op.add_column("replies", sa.Column("run", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("replies", sa.Column("stop_requested_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index(
        op.f("ix_replies_due"),
        table_name="replies",
        postgresql_where="(state = ANY (ARRAY['queued'::text, 'running'::text]))",
    )
    op.create_index(
        "ix_replies_due",
        "replies",
        ["priority", sa.literal_column("COALESCE(lease_until, available_at)")],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "ix_replies_unfinished_of_user",
        "replies",
        ["user_id", "state"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    """One step down."""
    op.drop_index(
        "ix_replies_unfinished_of_user",
        table_name="replies",
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.drop_index("ix_replies_due", table_name="replies", postgresql_where=sa.text("state IN ('queued', 'running')"))
    op.create_index(
        op.f("ix_replies_due"),
        "replies",
        [sa.literal_column("COALESCE(lease_until, available_at)")],
        unique=False,
        postgresql_where="(state = ANY (ARRAY['queued'::text, 'running'::text]))",
    )
    op.drop_column("replies", "stop_requested_at")
    op.drop_column("replies", "run")
    op.drop_column("replies", "priority")
    op.drop_index(op.f("ix_idempotency_keys_message_id"), table_name="idempotency_keys")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
