"""How many web processes ``WEB_PROCESSES=auto`` is."""

import os
from pathlib import Path

import pytest

from entrypoints import web_processes


@pytest.fixture
def cpu_max(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a container's limit stands; it does not exist yet."""
    monkeypatch.setattr(web_processes, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2, 3}, raising=False)
    return web_processes.CPU_MAX


def test_a_number_is_that_number(cpu_max: Path):
    assert web_processes.number_of_processes(7) == 7


@pytest.mark.parametrize(
    ("limit", "number"),
    [(None, 4), ("max 100000\n", 4), ("200000 100000\n", 2), ("50000 100000\n", 1), ("150000 100000\n", 2)],
)
def test_auto_is_the_cores_that_may_be_used(cpu_max: Path, limit: str | None, number: int):
    if limit is not None:
        cpu_max.write_text(limit)
    assert web_processes.number_of_processes(None) == number
