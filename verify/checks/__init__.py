"""The checks, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from verify.world import World


@dataclass(frozen=True)
class Check:
    """A promise of the API, and how it is looked at. ``plain``: both specifications of this API make it."""

    name: str
    promise: str
    run: Callable[[World], None]
    plain: bool


def check(name: str, *, plain: bool = False) -> Callable[[Callable[[World], None]], Check]:
    """Make a check of a function, whose docstring is the promise."""

    def decorate(run: Callable[[World], None]) -> Check:
        return Check(name, " ".join((run.__doc__ or "").split()), run, plain)

    return decorate
