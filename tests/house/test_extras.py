"""What needs an extra is imported where it is on, and the service starts without it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

BUILD = """
import json, sys
data_dir, hidden, given = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
sys.modules.update(dict.fromkeys(hidden))  # as if they were not installed
from entrypoints.container.build import build_web, build_worker
from entrypoints.settings import read_settings

settings = read_settings({
    "DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://nowhere", "DATA_DIR": data_dir,
    "LLM_PROVIDER": "offline", **given,
})
build_web(settings).close()
build_worker(settings).close()
print(*sys.modules)
"""

EXTRAS = {
    "tracing": ("opentelemetry", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}),
    "sentry": ("sentry_sdk", {"SENTRY_DSN": "http://key@127.0.0.1:1/1"}),
}
# The Redis client imports OpenTelemetry's metrics wherever they are installed.
OF_EXTRAS = ("adapters.sentry", "adapters.tracing", "opentelemetry.exporter", "opentelemetry.sdk.trace", "sentry_sdk")


class Built(NamedTuple):
    of_extras: set[str]
    log: str


def build(data_dir: Path, *, hidden: list[str], given: dict[str, str]) -> Built:
    """Build web and worker in a process of its own."""
    arguments = [str(data_dir), json.dumps(hidden), json.dumps(given)]
    built = subprocess.run(
        [sys.executable, "-c", BUILD, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    log, _, imported = built.stdout.rstrip().rpartition("\n")
    assert "entrypoints.container.worker_adapters" in imported
    return Built({name for name in imported.split() if name.startswith(OF_EXTRAS)}, log)


@pytest.mark.parametrize("hidden", [[], ["opentelemetry", "sentry_sdk"]], ids=["installed", "missing"])
def test_what_is_off_is_neither_imported_nor_needed(tmp_path: Path, hidden: list[str]):
    built = build(tmp_path, hidden=hidden, given={})
    assert {name for name in built.of_extras if name not in hidden} == set()
    assert "not_installed" not in built.log


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_is_told_in_one_line_and_the_service_starts(tmp_path: Path, extra: str):
    package, given = EXTRAS[extra]
    built = build(tmp_path, hidden=[package], given=given)
    assert not any(name.startswith("adapters.") for name in built.of_extras)
    lines = [line for line in built.log.splitlines() if f"{extra}_not_installed" in line]
    assert len(lines) == 2  # one of the web process, one of the worker


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_there_is_used(tmp_path: Path, extra: str):
    built = build(tmp_path, hidden=[], given=EXTRAS[extra][1])
    assert f"adapters.{extra}" in built.of_extras
    assert "not_installed" not in built.log
