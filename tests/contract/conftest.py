"""The two worlds of the contracts. A test class brings the one it is about as its fixture ``world``."""

from collections.abc import Iterator

import pytest

from tests.contract.world import MemoryWorld, SqlWorld, sql_world


@pytest.fixture
def memory_world() -> MemoryWorld:
    """An empty one in memory."""
    return MemoryWorld()


@pytest.fixture
def real_world(clean_database: str) -> Iterator[SqlWorld]:
    """An empty one in PostgreSQL."""
    with sql_world(clean_database) as world:
        yield world
