"""The capacity table of docs/scaling.md follows from what is measured, what is assumed, and the settings' defaults."""

import re
from math import ceil
from pathlib import Path

import pytest

from entrypoints.container.build import OTHER_CONNECTIONS, WORKER_CONNECTIONS
from entrypoints.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
CAPACITY = PAGE.split("## How much for how many")[1].split("\n## ")[0]
ROWS = [
    [float(number.replace(",", "")) for number in re.findall(r"[\d.,]+", line)]
    for line in re.findall(r"^\| \d.*$", CAPACITY, re.MULTILINE)
]
SETTINGS = read_settings({"JWT_SECRET": "x" * 40})
SECONDS_A_DAY = 86_400
PROBE = 1  # readiness asks on a connection of its own
AT_LEAST = 2  # so that one may be lost
CORES_OF_A_MACHINE = 2


def figure(name: str) -> float:
    """A figure of the table of what is measured and assumed."""
    (found,) = re.findall(rf"^\| `{name}` \| ([\d.,]+)", CAPACITY, re.MULTILINE)
    return float(found.replace(",", ""))


WEB = SETTINGS.web_threads + OTHER_CONNECTIONS + PROBE
WORKER = WORKER_CONNECTIONS


def test_a_web_process_and_a_worker_open_as_many_connections_as_is_said() -> None:
    told = f"A web process opens up to {WEB} (`WEB_THREADS`, {OTHER_CONNECTIONS} and {PROBE}) and a worker {WORKER}"
    assert told in " ".join(PAGE.split())
    production = " ".join((ROOT / "docs" / "production.md").read_text(encoding="utf-8").split())
    assert (
        f"`WEB_THREADS` and {OTHER_CONNECTIONS + PROBE} more for each web process ({WEB}), {WORKER} for" in production
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_follows_from_what_is_measured_and_assumed(row: list[float]) -> None:
    users, messages, peak, webs, workers, connections, memory, cores, machines, disk = row
    assert messages == users * figure("messages")
    a_second = messages / SECONDS_A_DAY * figure("peak")
    assert peak == pytest.approx(a_second, abs=0.05)
    under_way = a_second * figure("answer")
    assert webs == max(AT_LEAST, ceil(a_second * figure("web_cpu") / 1000 / figure("busy")))
    assert workers == max(AT_LEAST, ceil(under_way / (figure("slots_used") * SETTINGS.worker_concurrency)))
    assert connections == webs * WEB + workers * WORKER + figure("spare")
    assert memory == ceil((webs * figure("web_memory") + workers * figure("worker_memory")
                           + under_way * figure("stream_memory") / 1000) / 10) * 10  # fmt: skip
    of_requests = figure("web_cpu") + figure("server_cpu")
    assert cores == max(AT_LEAST, ceil(a_second * (of_requests + figure("reply_cpu")) / 1000 / figure("busy")))
    assert machines == max(AT_LEAST, ceil(cores / CORES_OF_A_MACHINE)) + 1
    assert disk == ceil(messages * 365 * (figure("turn") + figure("text") + figure("words")) / 1e9)


def test_there_are_rows_up_to_what_was_measured_and_no_further() -> None:
    peaks = [row[2] for row in ROWS]
    assert len(peaks) >= 4
    assert max(peaks) <= figure("measured")
