"""What a catalogue of texts consists of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto


@dataclass(frozen=True, slots=True)
class ProblemTexts:
    """``title``, ``why`` and ``what_to_do`` as in ProblemType.

    ``occurrence``: the ``detail`` of each occurrence, where its facts say more than the title. In {braces} stand
    members of the problem, and ``wait``: how long to wait.
    """

    title: str
    why: str
    what_to_do: str
    occurrence: str | None = None


class PageText(StrEnum):
    """A text of the pages for people."""

    HOME_TITLE = auto()
    HOME = auto()
    CHAT_HERE = auto()
    LINK_DOCS = auto()
    LINK_OPENAPI = auto()
    LINK_PROBLEMS = auto()
    LINK_LIVE = auto()
    LINK_READY = auto()
    PROBLEMS_TITLE = auto()
    PROBLEMS = auto()
    STATUS = auto()
    CODE = auto()
    WHAT_HAPPENED = auto()
    WHY = auto()
    WHAT_TO_DO = auto()
    EXAMPLE = auto()
    ALL_PROBLEMS = auto()
    THE_API = auto()
    IS_PRO_TITLE = auto()
    IS_PRO = auto()
    PAID_TITLE = auto()
    PAID = auto()
    NOT_BOUGHT_TITLE = auto()
    NOT_BOUGHT = auto()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language. ``problems``: by code; ``duration``: words for a number of seconds."""

    problems: Mapping[str, ProblemTexts]
    pages: Mapping[PageText, str]
    duration: Callable[[int], str]


MINUTE, HOUR = 60, 3600
# Up to twice the unit a duration is told in the smaller one: 90 seconds, 100 minutes.
TWICE = 2


def in_units(seconds: int) -> tuple[int, int]:
    """A duration as a number of a unit, and the seconds of this unit; rounded up, so that the wait is long enough."""
    unit = next((unit for unit in (HOUR, MINUTE) if seconds >= TWICE * unit), 1)
    return -(-seconds // unit), unit
