"""Alembic's migrations. Each goes up and down; a test walks the stairs."""
