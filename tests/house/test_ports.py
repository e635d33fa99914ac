"""Each adapter subclasses its port: mypy then compares the two, and an editor finds one from the other."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Protocol

import pytest

import adapters
import application.ports

# Ports that no class implements, and why.
IMPLEMENTED_OTHERWISE = {
    "AccountErasureHook": "a use case of billing implements it",
    "Clock": "a function: adapters.system_runtime.system_clock",
    "NewCode": "a function: adapters.system_runtime.random_code",
}
# The implementations for tests do not count: production has to have one, too.
IN_MEMORY = "adapters.memory"


def classes_in(package: ModuleType) -> Iterator[type]:
    """Every class defined in a module of ``package`` or below it."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        yield from (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == found.name)


def members_of(cls: type) -> dict[str, list[str]]:
    """What ``cls`` itself defines for others, with the parameters where it is a method."""
    return {
        name: list(inspect.signature(member).parameters) if isinstance(member, FunctionType) else []
        for name, member in vars(cls).items()
        if name == "__call__" or not name.startswith("_")
    }


def looks_like(candidate: type, port: type) -> bool:
    """Whether ``candidate`` defines all that ``port`` does. A port that is only called says too little to tell."""
    members = members_of(port)
    return members.keys() != {"__call__"} and members.items() <= members_of(candidate).items()


PORTS = [one for one in classes_in(application.ports) if Protocol in one.__bases__]
ADAPTERS = [one for one in classes_in(adapters) if not one.__module__.startswith(IN_MEMORY)]


@pytest.mark.parametrize(
    "port", [port for port in PORTS if port.__name__ not in IMPLEMENTED_OTHERWISE], ids=lambda port: port.__name__
)
def test_a_port_has_a_subclass_among_the_adapters(port: type):
    assert [adapter for adapter in ADAPTERS if port in adapter.__mro__]


def test_an_adapter_that_looks_like_a_port_subclasses_it():
    found = [
        f"{adapter.__module__}.{adapter.__qualname__} is no {port.__name__}"
        for adapter in ADAPTERS
        for port in PORTS
        if looks_like(adapter, port) and port not in adapter.__mro__ and port.__name__ not in IMPLEMENTED_OTHERWISE
    ]
    assert not found


def test_no_exception_is_left_over():
    unimplemented = {port.__name__ for port in PORTS if not any(port in adapter.__mro__ for adapter in ADAPTERS)}
    assert IMPLEMENTED_OTHERWISE.keys() <= unimplemented
