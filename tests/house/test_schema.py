"""The versions of the schema that the code knows are those of the migrations."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from adapters.sql.migrate import SCRIPTS
from adapters.sql.schema import REVISION, REVISIONS


def test_the_revisions_are_those_of_the_migrations():
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(REVISIONS)
    assert scripts.get_current_head() == REVISION
