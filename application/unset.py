"""A sentinel for optional arguments for which None is a value."""

from enum import Enum


class Unset(Enum):
    """The type of ``UNSET``. An enum with one member, so that type checkers can narrow it away."""

    UNSET = "unset"


UNSET = Unset.UNSET
