"""The type checker sees through the container: what is wired wrongly does not pass ``make lint``."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoints.container.web_adapters import WebAdapters
from entrypoints.container.worker_adapters import WorkerAdapters
from tests.builders import MemoryAdapters

ROOT = Path(__file__).resolve().parents[2]

# Libraries are skipped, but for the injector: this takes four seconds, all of them take forty.
CONFIG = f"""
[mypy]
strict = true
explicit_package_bases = true
mypy_path = {ROOT}
follow_imports = skip
[mypy-domain.*,application.*,adapters.*,entrypoints.*,dependency_injector.*]
follow_imports = silent
"""


@dataclass(frozen=True)
class Mistake:
    """``right`` stands once in ``file``; with ``wrong`` in its place mypy reports ``errors``."""

    file: str
    right: str
    wrong: str
    errors: tuple[str, ...]


MISTAKES = {
    "swapped arguments of a use case": Mistake(
        "entrypoints/container/use_cases.py",
        "clock=clock,\n        new_id=new_id,\n        phone_digest=",
        "clock=new_id,\n        new_id=clock,\n        phone_digest=",
        (
            'Argument "clock" to "Recorder" has incompatible type "NewId"; expected "Clock"',
            'Argument "new_id" to "Recorder" has incompatible type "Clock"; expected "NewId"',
        ),
    ),
    "a misspelt adapter": Mistake(
        "entrypoints/container/background_use_cases.py",
        "language_model=adapters.language_model(),",
        "language_model=adapters.langauge_model(),",
        ('Argument "language_model" to "AskModel" has incompatible type "None"',),
    ),
    "an adapter under another port": Mistake(
        "entrypoints/container/web_adapters.py",
        "RedisOtpBudget(redis, key=",
        "RedisOtpStore(redis, key=",
        (
            'Incompatible return value type (got "RedisOtpStore", expected "OtpBudget")',
            'Argument 1 to "singleton" has incompatible type "Callable[[Any, Settings], RedisOtpStore]"',
        ),
    ),
    "a dependency of an adapter in the place of another": Mistake(
        "entrypoints/container/adapters.py",
        "SqlLedger(database), database)",
        "SqlLedger(database), settings)",
        ('Argument 1 to "SqlLedger" has incompatible type "Settings"; expected "Database"',),
    ),
    "a misspelt method of an adapter": Mistake(
        "adapters/no_payments.py",
        "def customer_of_charge(",
        "def customer_of_chrage(",
        ('Cannot instantiate abstract class "NoPayments" with abstract attribute "customer_of_charge"',),
    ),
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The errors that mypy reports in the container when it holds every one of the mistakes."""
    directory = tmp_path_factory.mktemp("mistakes")
    (directory / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--config-file", str(directory / "mypy.ini"), "--cache-dir", "/dev/null"]
    for mistake in MISTAKES.values():
        text = (ROOT / mistake.file).read_text()
        assert text.count(mistake.right) == 1, mistake
        changed = directory / mistake.file.replace("/", "_")
        changed.write_text(text.replace(mistake.right, mistake.wrong))
        command += ["--shadow-file", mistake.file, str(changed)]
    command += map(str, sorted((ROOT / "entrypoints/container").glob("*.py")))
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [line.partition(": error: ")[2] for line in output.splitlines() if ": error: " in line]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_wiring_is_a_type_error(mistake: Mistake, reported: list[str]):
    assert [error for error in mistake.errors if not any(line.startswith(error) for line in reported)] == []


def test_the_rest_of_the_wiring_is_free_of_them(reported: list[str]):
    expected = tuple(error for mistake in MISTAKES.values() for error in mistake.errors)
    assert [line for line in reported if not line.startswith(expected)] == []


def test_use_case_tests_meet_no_real_adapter():
    # They override the sets by name: one without a double would reach them unnoticed.
    real = {*WebAdapters.providers, *WorkerAdapters.providers} - {*MemoryAdapters.providers}
    assert real == {
        "settings",
        "connections",
        "application_name",
        "waiter",
        "redis",
        "payment_mode",
        "payment_sandbox",
        "watched_model",
    }
