"""What the tutorial and the quick starts say is true. `make test-typescript` runs those in JavaScript."""

from collections.abc import Iterator

import pytest

from tests.e2e import tutorial
from tests.e2e.service import Service, running

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("tutorial")) as started:
        yield started


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_tutorial_runs(service: Service, language: str) -> None:
    tutorial.check_tutorial(language, service.base)


def test_the_quick_start_in_python_runs(service: Service) -> None:
    tutorial.check_quick_start(tutorial.PYTHON_CLIENT, "python", service.base)


def test_the_tutorial_has_every_step_in_every_language() -> None:
    assert len({len(tutorial.blocks(tutorial.TUTORIAL, language)) for language in ("sh", "js", "python")}) == 1
