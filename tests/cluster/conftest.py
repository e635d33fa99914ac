from pathlib import Path

import pytest

from tests.cluster.hosts import find_ip, may_make_hosts
from tests.cluster.programs import find_pgbouncer
from tests.left_out import leave_out

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    poolers = [item for item in items if item.path == HERE / "test_pgbouncer.py"]
    if poolers and find_pgbouncer() is None:
        leave_out(config, items, poolers, what="a pooler, for want of PgBouncer (Debian: apt install pgbouncer)")
    hosts = [item for item in items if item.path == HERE / "test_many_hosts.py"]
    if hosts and find_ip() is None:
        leave_out(config, items, hosts, what="many hosts, for want of `ip` (Debian: apt install iproute2)")
    elif hosts and not may_make_hosts():
        what = "many hosts, which take root and the right to make network namespaces"
        leave_out(config, items, hosts, what=what, in_ci=True)
