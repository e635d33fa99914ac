"""The delays before a dead child is started again."""

from entrypoints.backoff import Backoff


def test_delays_double_up_to_a_longest_one():
    backoff = Backoff(first=0.2, longest=10.0)
    delays = [backoff.delay_after(lived=0.1) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_healthy_life_earns_a_fresh_start():
    backoff = Backoff(first=0.2, healthy=10.0)
    for _ in range(5):
        backoff.delay_after(lived=9.9)
    assert backoff.delay_after(lived=10.0) == 0.2
    assert backoff.delay_after(lived=0.0) == 0.4
