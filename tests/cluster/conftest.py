from pathlib import Path

import pytest

from tests.cluster.programs import find_pgbouncer
from tests.left_out import leave_out

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if find_pgbouncer() is None:
        unfit = [item for item in items if item.path == HERE / "test_pgbouncer.py"]
        leave_out(config, items, unfit, what="a pooler, for want of PgBouncer (Debian: apt install pgbouncer)")
