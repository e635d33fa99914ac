"""A pool of connections: which one is given out, and when it is replaced."""

import time
from dataclasses import dataclass, field

import pytest

from adapters.sql import pool as pool_module
from adapters.sql.pool import Pool, PoolIsFull


@dataclass(eq=False)
class Line:
    """A connection that knows whether its server is still there."""

    made_at: float = field(default_factory=time.monotonic)
    rested_since: float = 0.0
    closed: int = 0
    lives: bool = True

    def close(self) -> None:
        self.closed = 1


class Cable:
    """Makes lines, and counts how many were asked whether they live."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.asked = 0

    def connect(self) -> Line:
        self.made.append(Line())
        return self.made[-1]

    def still_lives(self, line: Line) -> bool:
        self.asked += 1
        return line.lives


@pytest.fixture
def cable() -> Cable:
    return Cable()


@pytest.fixture
def pool(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> Pool[Line]:
    monkeypatch.setattr(pool_module, "WAIT_SECONDS", 0.01)
    return Pool(cable.connect, cable.still_lives, size=2, run=lambda call: call())


def test_the_one_that_was_used_last_is_given_out_first(pool: Pool[Line], cable: Cable) -> None:
    first, second = pool.take(), pool.take()
    pool.give_back(second)
    pool.give_back(first)
    assert pool.take() is first
    assert pool.take() is second
    assert len(cable.made) == 2
    assert not cable.asked


def test_more_than_its_size_are_not_given_out(pool: Pool[Line]) -> None:
    kept = [pool.take(), pool.take()]
    assert pool.in_use == 2
    with pytest.raises(PoolIsFull):
        pool.take()
    pool.give_back(kept[0])
    assert pool.take() is kept[0]


def test_a_connection_that_cannot_be_made_takes_no_place(pool: Pool[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Line:
        raise ConnectionRefusedError

    with monkeypatch.context() as refusing:
        refusing.setattr(pool, "_connect", refuse)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                pool.take()
    assert pool.in_use == 0


def test_one_that_was_closed_or_discarded_is_replaced(pool: Pool[Line]) -> None:
    closed = pool.take()
    closed.close()
    pool.give_back(closed)
    discarded = pool.take()
    assert discarded is not closed
    pool.discard(discarded, broken=False)
    assert discarded.closed
    assert pool.take() not in (closed, discarded)
    assert pool.in_use == 1


def test_after_a_rest_only_one_that_lives_is_given_out(pool: Pool[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "PING_AFTER_SECONDS", 0.0)
    lives, dead = pool.take(), pool.take()
    dead.lives = False
    pool.give_back(dead)
    pool.give_back(lives)
    assert pool.take() is lives
    assert pool.take() is not dead
    assert dead.closed


def test_a_caller_waits_for_one_that_does_not_answer_and_not_for_all(
    pool: Pool[Line], cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [pool.take(), pool.take()]
    for line in dead:
        line.lives = False
        pool.give_back(line)
    monkeypatch.setattr(pool_module, "PING_AFTER_SECONDS", 0.0)
    assert pool.take() not in dead
    assert cable.asked == 1


def test_those_that_rested_while_another_broke_are_asked(pool: Pool[Line], cable: Cable) -> None:
    rested, broken = pool.take(), pool.take()
    pool.give_back(rested)
    pool.discard(broken, broken=True)
    assert pool.take() is rested
    assert cable.asked == 1


def test_an_old_one_is_replaced(pool: Pool[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    old = pool.take()
    pool.give_back(old)
    monkeypatch.setattr(pool_module, "RECYCLE_SECONDS", -1.0)
    assert pool.take() is not old
    assert old.closed


def test_closing_closes_what_rests(pool: Pool[Line]) -> None:
    resting, used = pool.take(), pool.take()
    pool.give_back(resting)
    pool.close()
    assert resting.closed
    assert not used.closed


def test_one_that_cannot_be_closed_takes_no_place(pool: Pool[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError

    stuck = pool.take()
    monkeypatch.setattr(stuck, "close", refuse)
    with pytest.raises(OSError):  # noqa: PT011 - any
        pool.discard(stuck, broken=True)
    assert pool.in_use == 0
