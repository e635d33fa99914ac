"""Writes what each migration says to PostgreSQL into a file of its own: python -m tools.migrations.statements DIRECTORY

They are run on an embedded server, since some ask the database what is there.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from adapters.sql import migrate
from tests.servers import new_database, started_servers

# As migrate connects, with the time-out in a statement: the linter sees no options of connections.
FIRST = f"SET lock_timeout = {migrate.LOCK_TIMEOUT // timedelta(milliseconds=1)};"
# What is accepted, and why. Of a new migration the finding is mended, or stands here with a reason.
ACCEPTED = {
    # Made before the first release: no table that they lock has ever been large.
    "0002": ["require-concurrent-index-creation", "require-concurrent-index-deletion"],
    "0005": ["require-concurrent-index-creation"],
    "0008": ["require-concurrent-index-creation"],
    "0009": ["require-concurrent-index-creation"],
    # The release before always gives a value, and reads none that is missing.
    "0006": ["ban-drop-not-null"],
    # What each step makes is dropped before it is made, so that a repeated run goes on.
    "0007": ["prefer-robust-stmts"],
    "0010": ["prefer-robust-stmts"],
    "0014": ["prefer-robust-stmts"],
    "0015": ["prefer-robust-stmts"],
    # Keys live for a day, so the table is small.
    "0011": ["ban-drop-not-null", "constraint-missing-not-valid"],
}
CHANGES = ("ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "INSERT", "RESET", "SET", "UPDATE")


def main(directory: Path) -> None:
    said: list[tuple[bool, str]] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def keep(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        driver: Any = connection.connection.dbapi_connection
        said.append((driver.autocommit, statement.strip().rstrip(";")))

    scripts = ScriptDirectory(str(migrate.SCRIPTS))
    with started_servers() as servers, new_database(servers.database_url, migrated=False) as url:
        for script in reversed(list(scripts.walk_revisions())):
            said.clear()
            migrate.upgrade(url, script.revision)
            accepted = ACCEPTED.get(script.revision, [])
            lines = [f"-- squawk-ignore-file {', '.join(accepted)}" if accepted else "", *_lines(said)]
            (directory / f"{script.revision}.sql").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(said: list[tuple[bool, str]]) -> list[str]:
    """The statements, with the bounds of their transactions."""
    lines = [FIRST]
    begun = False
    for autocommit, statement in said:
        if not statement.startswith(CHANGES) or "alembic_version" in statement:
            continue
        if begun == autocommit:
            lines.append("COMMIT;" if begun else "BEGIN;")
            begun = not begun
        lines.append(statement + ";")
    return [*lines, "COMMIT;"] if begun else lines


if __name__ == "__main__":
    main(Path(sys.argv[1]))
