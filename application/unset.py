"""What a caller of a story leaves as it is."""

from enum import Enum


class Unchanged(Enum):
    """Stands for a value that was not given: None means to take one away."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
