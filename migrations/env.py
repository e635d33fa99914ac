"""Runs migrations on the connection that adapters.sql.migrate puts into the config."""

from alembic import context

from adapters.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    # No migration holds the locks of the one before.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
