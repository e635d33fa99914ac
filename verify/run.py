"""Runs checks one after the other, and erases in the end what they made."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from verify.checks import Check, accounts, billing, chat, service
from verify.http import Exchange
from verify.outcomes import Failed, LeftOut
from verify.world import World

Outcome = Literal["passed", "failed", "left out"]

# What uses up the prompts of a user who was given comes last.
ALL: tuple[Check, ...] = (
    *service.BEFORE_LOGIN,
    *accounts.CHECKS,
    *service.AFTER_LOGIN,
    *billing.CHECKS,
    *chat.CHECKS,
)
LEAVING_SECONDS = 20.0  # beyond the end of the run


@dataclass(frozen=True)
class Result:
    """What came of a check. ``reason``: of a failure, or of leaving it out."""

    check: Check
    outcome: Outcome
    reason: str
    seconds: float
    exchanges: list[Exchange]


@dataclass(frozen=True)
class Left:
    """What became of the users who were made. ``stay``: what could not be removed."""

    made: int
    erased: int
    stay: list[str]


def run(checks: Sequence[Check], world: World) -> Iterator[Result]:
    """The result of each check, as soon as it is there."""
    for check in checks:
        world.http.log.begin(check.name)
        began = time.monotonic()
        outcome, reason = _look(check, world)
        yield Result(check, outcome, reason, time.monotonic() - began, world.http.log.exchanges())


def leave(world: World) -> Left:
    """Erase the users who were made, also when the time of the run is up."""
    world.http.log.begin("leave")
    world.http.deadline = max(world.http.deadline, time.monotonic() + LEAVING_SECONDS)
    made, erased, stay = world.leave()
    return Left(made, erased, stay)


def _look(check: Check, world: World) -> tuple[Outcome, str]:
    if world.options.plain and not check.plain:
        return "left out", "the two specifications of this API do not both promise it (--plain)"
    try:
        check.run(world)
    except Failed as failure:
        return "failed", str(failure)
    except LeftOut as left_out:
        return "left out", str(left_out)
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        return "failed", f"an answer has another shape than was expected: {error!r}"
    return "passed", ""
