"""Whether requests are welcome, and what is missing if only some of them can be served."""

import pytest

from tests.builders import House


@pytest.mark.parametrize(
    ("down", "ready", "degraded"),
    [
        ([], True, ()),
        (["workers"], True, ("workers",)),
        (["redis"], True, ("redis",)),
        (["redis", "workers"], True, ("redis",)),
        (["database"], False, ("database",)),
        (["database", "redis", "workers"], False, ("database",)),
    ],
)
def test_only_the_database_is_indispensable(down: list[str], ready: bool, degraded: tuple[str, ...]):
    house = House()
    switches = {"database": house.database_probe, "redis": house.redis_probe, "workers": house.worker_heartbeat}
    for name in down:
        switches[name].on = False
    readiness = house.use_cases.check_readiness()
    assert (readiness.ready, readiness.degraded) == (ready, degraded)


def test_it_is_asked_anew_each_time():
    house = House()
    house.database_probe.on = False
    assert not house.use_cases.check_readiness().ready
    house.database_probe.on = True
    assert house.use_cases.check_readiness().ready
