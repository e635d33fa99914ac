"""Every command in the README is executed, and every address in it answers.

``make run`` is started in a copy of the checkout. ``make test`` is what runs this: that CI calls it is asserted. Where
there is no Compose, its file is looked at.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e import tutorial
from tests.e2e.make_run import Make, copied_checkout, made_run
from tests.e2e.service import ROOT

pytestmark = pytest.mark.real

README = ROOT / "README.md"
RUN, TEST, COMPOSE = "make run", "make test", "docker compose up --build"
ELSEWHERE = {RUN, TEST, COMPOSE}
# The environment is this very one: nothing of it is to be installed again, nor may it be.
INSTALLED = "make --old-file=.venv/.created"


def lines() -> list[str]:
    """The commands, without their comments."""
    blocks = "\n".join(tutorial.blocks(README, "sh"))
    return [line for one in blocks.splitlines() if (line := re.sub(r"\s+# .*", "", one).strip())]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """``make run``."""
    directory = tmp_path_factory.mktemp("readme")
    with made_run(copied_checkout(directory / "clone"), directory / "output") as made:
        yield made


def test_no_command_stands_outside_of_what_is_executed():
    text = README.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(tutorial.blocks(README, "sh"))
    assert {*lines()} >= ELSEWHERE


def test_the_commands_work_one_after_the_other(make: Make):
    program = "\n".join(line for line in lines() if line not in ELSEWHERE)
    program = re.sub("^make ", f"{INSTALLED} ", program, flags=re.MULTILINE)
    assert len(re.findall(r"^api |\$\(api ", program, re.MULTILINE)) == 4

    said = tutorial.run(program, "sh", make.base, cwd=make.checkout)

    reply, *verified = said.partition("}pass ")
    assert '"status":"done"' in reply
    assert "“Hello, how are you?”" in reply
    assert re.search(r"^\d\d passed, 0 failed", "".join(verified), re.MULTILINE), said


def test_the_addresses_answer(make: Make):
    text = README.read_text(encoding="utf-8")
    addresses = {one.rstrip(".,") for one in re.findall(rf"{tutorial.BASE}[\w/.-]*", text)}
    assert f"{tutorial.BASE}/app" in addresses
    for address in addresses:
        answer = httpx.get(address.replace(tutorial.BASE, make.base), follow_redirects=True, trust_env=False)
        assert answer.status_code == 200, address


def test_everything_checked_is_what_continuous_integration_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == f'exec {TEST} "$@"'
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for step in workflow["jobs"]["test"]["steps"]]
    assert any(step.startswith(".ci/run ") for step in steps)


def test_compose_starts_what_the_file_describes():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert {"web", "worker", "postgres", "redis"} <= services.keys()
    for name, service in services.items():
        assert "image" in service, name
        assert {*service.get("depends_on", ())} <= services.keys(), name
    assert services["web"]["build"] == "."
    assert services["web"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    # With Compose, it has the last word.
    if has_compose():
        command = ["docker", "compose", "--project-directory", str(ROOT), "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, timeout=60, check=False).returncode == 0


def test_the_picture_is_one_that_the_tests_of_the_page_take():
    pictures = re.findall(r"!\[[^]]+]\((docs/images/([\w-]+)\.png)\)", README.read_text(encoding="utf-8"))
    taken = (ROOT / "tests" / "page" / "test_looks.py").read_text(encoding="utf-8")
    assert pictures
    for path, name in pictures:
        assert Path(ROOT / path).exists()
        assert name in taken, "make screenshots"
