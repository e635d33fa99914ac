"""Health of the service's parts."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Part(StrEnum):
    """``server``: this process. ``model``: the language model, as workers find it. ``backlog``: unfinished replies."""

    SERVER = "server"
    DATABASE = "database"
    REDIS = "redis"
    WORKERS = "workers"
    MODEL = "model"
    BACKLOG = "backlog"


class Fault(StrEnum):
    """Why a part is not well. ``schema``: of another version than this process needs. ``half_full``: or fuller.

    ``misconfigured``: the provider does not let the service use it.
    """

    UNREACHABLE = "unreachable"
    READ_ONLY = "read_only"
    SCHEMA = "schema"
    NO_WRITES = "no_writes"
    ABSENT = "absent"
    BREAKER_OPEN = "breaker_open"
    MISCONFIGURED = "misconfigured"
    HALF_FULL = "half_full"
    STOPPING = "stopping"


Faults = Mapping[Part, Fault]


class Probe(Protocol):
    def __call__(self) -> Faults:
        """The parts that are not well, among those it looks at. Never raises."""
