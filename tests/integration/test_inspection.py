"""The real servers, as an operator's examination sees them."""

import pytest
import redis

from adapters.redis.inspection import RedisInspection
from adapters.sql.inspection import SqlInspection
from adapters.sql.schema import REVISION
from application.ports.inspection import NotInspected
from tests.e2e.service import free_port
from tests.servers import new_database
from tests.transaction_pooler import TransactionPooler

pytestmark = pytest.mark.real


def test_a_database(clean_database: str) -> None:
    facts = SqlInspection(clean_database)()
    assert facts.server.startswith("PostgreSQL 1")
    assert (facts.encoding, facts.revision, facts.isolation) == ("UTF8", REVISION, "read committed")
    assert not facts.read_only
    assert facts.local
    assert facts.pooler_fault is None


def test_a_database_without_a_schema(database_server: str) -> None:
    with new_database(database_server, migrated=False) as url:
        assert SqlInspection(url)().revision is None


def test_a_pooler_that_shares_sessions_is_found(clean_database: str) -> None:
    pooler = TransactionPooler(clean_database)
    try:
        fault = SqlInspection(pooler.url)().pooler_fault
    finally:
        pooler.close()
    assert fault is not None
    assert "transaction mode" in fault


def test_a_database_that_is_away() -> None:
    with pytest.raises(NotInspected, match="refused") as reason:
        SqlInspection(f"postgresql://somebody:hunter2@127.0.0.1:{free_port()}/nowhere")()
    assert "hunter2" not in str(reason.value)


def test_a_redis(clean_redis: str) -> None:
    facts = RedisInspection(clean_redis)()
    assert facts.server.startswith(("Valkey ", "Redis "))
    assert (facts.takes_writes, facts.cluster, facts.local, facts.encrypted) == (True, False, True, False)
    assert facts.eviction == "noeviction"
    assert facts.memory_limit == 0
    assert facts.append_only is not None


def test_a_redis_that_tells_this_user_nothing(clean_redis: str) -> None:
    with redis.Redis.from_url(clean_redis) as admin:
        admin.acl_setuser("shy", enabled=True, passwords=["+hunter2"], keys=["*"], commands=["+ping", "+select"])
        try:
            scheme, _, rest = clean_redis.partition("://")
            facts = RedisInspection(f"{scheme}://shy:hunter2@{rest.rpartition('@')[2]}")()
        finally:
            admin.acl_deluser("shy")
    assert (facts.takes_writes, facts.eviction, facts.append_only) == (False, None, None)


def test_a_redis_that_is_away() -> None:
    with pytest.raises(NotInspected, match="refused") as reason:
        RedisInspection(f"redis://:hunter2@127.0.0.1:{free_port()}")()
    assert "hunter2" not in str(reason.value)
