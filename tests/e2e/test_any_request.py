"""Schemathesis: requests of every shape that the OpenAPI document allows, and many that it does not.

Against the running service: no answer is a 5xx, and every one of them is documented.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.service import Person, Service, running

pytestmark = pytest.mark.real

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")

# They end the login that the other requests are made with: they are asked without one.
ENDS_THE_LOGIN = ("--include-path-regex", r"^/(user/me|auth/logout|auth/sessions/.*|auth/change-password)$")

# They wait for a reply where they are asked to, up to 25 seconds each time: without a login they only refuse.
WAITS = r"/stream$|/messages?$"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("any_request")) as started:
        yield started


def assert_withstands(service: Service, *options: str, examples: int) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.base}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", "1"),
            *("--generation-database", "none", "--no-color"),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout, run.stdout


def test_with_a_login(service: Service) -> None:
    token = Person(service).log_in().token
    pattern = f"{ENDS_THE_LOGIN[1]}|{WAITS}"
    assert_withstands(service, "-H", f"Authorization: Bearer {token}", "--exclude-path-regex", pattern, examples=8)


def test_without_one(service: Service) -> None:
    option, pattern = ENDS_THE_LOGIN
    assert_withstands(service, option, f"{pattern}|{WAITS}", examples=3)


def test_nothing_unforeseen_is_in_the_log(service: Service) -> None:
    assert "unforeseen_error" not in service.said()
