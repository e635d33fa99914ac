"""Whether requests are welcome, and what is wrong if only some of them can be served."""

import pytest

from application.ports.health import Fault, Part
from tests.builders import House


@pytest.mark.parametrize("part", Part)
def test_only_the_database_and_the_server_are_indispensable(part: Part):
    house = House()
    house.probe.faults = {part: Fault.UNREACHABLE}
    readiness = house.use_cases.check_readiness()
    assert readiness.ready == (part not in {Part.DATABASE, Part.SERVER})
    assert readiness.faults == {part: Fault.UNREACHABLE}


def test_without_a_fault_it_is_ready():
    readiness = House().use_cases.check_readiness()
    assert readiness.ready
    assert not readiness.faults


def test_a_server_that_is_about_to_stop_is_not_ready():
    readiness = House().use_cases.check_readiness(stopping=True)
    assert not readiness.ready
    assert readiness.faults == {Part.SERVER: Fault.STOPPING}


def test_it_is_asked_anew_each_time():
    house = House()
    house.database_probe.on = False
    assert not house.use_cases.check_readiness().ready
    house.database_probe.on = True
    assert house.use_cases.check_readiness().ready
