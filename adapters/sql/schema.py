"""The versions of the schema that this code knows, without importing Alembic's 10 MB.

``tests/house/test_schema.py`` holds them to migrations/versions.
"""

# Oldest first; this code works with the last one.
REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
)
REVISION = REVISIONS[-1]
