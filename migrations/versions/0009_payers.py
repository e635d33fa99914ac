"""billing: modes of customers, customers of erased users, refunds that are owed, and what events name."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step up."""
    op.add_column("customers", sa.Column("mode", sa.Text(), nullable=True))
    op.create_table(
        "erased_customers",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_erased_customers")),
    )
    op.create_index(op.f("ix_erased_customers_erased_at"), "erased_customers", ["erased_at"], unique=False)
    op.create_table(
        "refunds_owed",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('due', 'refused', 'failed', 'settled')", name=op.f("ck_refunds_owed_state_known")
        ),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_refunds_owed")),
    )
    op.create_index(
        "ix_refunds_owed_due", "refunds_owed", ["due_at"], unique=False, postgresql_where=sa.text("state = 'due'")
    )
    op.add_column("payment_events", sa.Column("named_user", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_payment_events_ignored",
        "payment_events",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("state = 'ignored'"),
    )
    op.create_index(
        "ix_payment_events_named_user",
        "payment_events",
        ["named_user"],
        unique=False,
        postgresql_where=sa.text("named_user IS NOT NULL"),
    )
    op.create_index(op.f("ix_payment_events_received_at"), "payment_events", ["received_at"], unique=False)
    op.create_index(op.f("ix_payment_entries_object_id"), "payment_entries", ["object_id"], unique=False)


def downgrade() -> None:
    """One step down."""
    op.drop_index(op.f("ix_payment_entries_object_id"), table_name="payment_entries")
    op.drop_index(op.f("ix_payment_events_received_at"), table_name="payment_events")
    op.drop_index(
        "ix_payment_events_named_user",
        table_name="payment_events",
        postgresql_where=sa.text("named_user IS NOT NULL"),
    )
    op.drop_index(
        "ix_payment_events_ignored", table_name="payment_events", postgresql_where=sa.text("state = 'ignored'")
    )
    op.drop_column("payment_events", "named_user")
    op.drop_index("ix_refunds_owed_due", table_name="refunds_owed", postgresql_where=sa.text("state = 'due'"))
    op.drop_table("refunds_owed")
    op.drop_index(op.f("ix_erased_customers_erased_at"), table_name="erased_customers")
    op.drop_table("erased_customers")
    op.drop_column("customers", "mode")
