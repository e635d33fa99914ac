"""idempotency keys of requests that ask for no reply.

The constraint is checked in a scan that stops no writer; the table holds the keys of one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OF_A_REPLY = ("message_id", "reply_id", "quota_plan", "quota_day", "quota_used")


def upgrade() -> None:
    """One step up."""
    op.add_column("idempotency_keys", sa.Column("reference", sa.Text(), nullable=True))
    for column in OF_A_REPLY:
        op.alter_column("idempotency_keys", column, nullable=True)
    name = op.f("ck_idempotency_keys_one_answer")
    op.execute(
        f"ALTER TABLE idempotency_keys ADD CONSTRAINT {name} "
        "CHECK ((message_id IS NULL) <> (reference IS NULL)) NOT VALID"
    )
    op.execute(f"ALTER TABLE idempotency_keys VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """One step down. Keys of requests that ask for no reply are forgotten."""
    op.drop_constraint(op.f("ck_idempotency_keys_one_answer"), "idempotency_keys")
    op.execute("DELETE FROM idempotency_keys WHERE reference IS NOT NULL")
    for column in OF_A_REPLY:
        op.alter_column("idempotency_keys", column, nullable=False)
    op.drop_column("idempotency_keys", "reference")
