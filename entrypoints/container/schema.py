"""The commands that change the schema: apart from the rest, for Alembic takes 10 MB that no other process needs."""

from adapters.sql.migrate import new_migration, upgrade

__all__ = ["new_migration", "upgrade"]
