"""billing: customers, checkouts, payment events, and what is known of subscriptions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.create_table(
        "checkouts",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("price_id", sa.Text(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=False),
        sa.Column("cancel_url", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Text(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_checkouts_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_checkouts_attempt_id")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_checkouts_checkout_id")),
    )
    op.create_table(
        "customers",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_customers_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_customers")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_customers_customer_id")),
    )
    op.create_index(op.f("ix_customers_reconciled_at"), "customers", ["reconciled_at"], unique=False)
    op.create_table(
        "payment_entries",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_payment_entries_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_payment_entries")),
    )
    op.create_index(op.f("ix_payment_entries_user_id"), "payment_entries", ["user_id"], unique=False)
    op.create_table(
        "payment_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("concern", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("checkout_id", sa.Text(), nullable=True),
        sa.Column("charge_id", sa.Text(), nullable=True),
        sa.Column("money_kind", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'ignored', 'failed')", name=op.f("ck_payment_events_state_known")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payment_events_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_payment_events")),
    )
    op.create_index(
        "ix_payment_events_due",
        "payment_events",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_payment_events_user_id"), "payment_events", ["user_id"], unique=False)
    op.add_column("daily_usage", sa.Column("refunded", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("subscriptions", sa.Column("subscription_id", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("price_id", sa.Text(), nullable=True))
    op.add_column(
        "subscriptions", sa.Column("price_is_ours", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )
    op.add_column("subscriptions", sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("subscriptions", sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    op.add_column("subscriptions", sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """One step down."""
    op.drop_column("subscriptions", "synced_at")
    op.drop_column("subscriptions", "version")
    op.drop_column("subscriptions", "grace_ends_at")
    op.drop_column("subscriptions", "price_is_ours")
    op.drop_column("subscriptions", "price_id")
    op.drop_column("subscriptions", "subscription_id")
    op.drop_column("daily_usage", "refunded")
    op.drop_index(op.f("ix_payment_events_user_id"), table_name="payment_events")
    op.drop_index("ix_payment_events_due", table_name="payment_events", postgresql_where=sa.text("state = 'pending'"))
    op.drop_table("payment_events")
    op.drop_index(op.f("ix_payment_entries_user_id"), table_name="payment_entries")
    op.drop_table("payment_entries")
    op.drop_index(op.f("ix_customers_reconciled_at"), table_name="customers")
    op.drop_table("customers")
    op.drop_table("checkouts")
