"""What is installed is what the lock lists, with the oldest pip there is, whatever has been released since."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Distributions may keep ensurepip's wheels elsewhere.
BUNDLED_PIP = """
import ensurepip, pathlib, sysconfig
places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), pathlib.Path(ensurepip.__file__).parent / "_bundled"]
print(next(wheel for place in places if place for wheel in pathlib.Path(place).glob("pip-*.whl")))
"""
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def flags() -> list[str]:
    """The flags with which the Makefile installs a lock."""
    found = re.search(r"^PIP_FLAGS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1].split()


def interpreters() -> list[str]:
    """The supported Pythons of this machine: the one that runs the tests, and what PATH and pyenv have."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    pyenv = shutil.which("pyenv")
    roots = [Path(subprocess.check_output([pyenv, "root"], text=True).strip())] if pyenv else []
    for version in SUPPORTED:
        candidates = [path for root in roots for path in sorted(root.glob(f"versions/{version}*/bin/python{version}"))]
        candidates += [Path(path) for path in [shutil.which(f"python{version}")] if path]
        for candidate in candidates:
            works = subprocess.run([candidate, "-c", "import ensurepip, venv"], check=False, capture_output=True)
            if works.returncode == 0:
                found.setdefault(version, str(candidate))
    return [found[version] for version in sorted(found)]


def wheel(index: Path, name: str, version: str, *requires: str) -> str:
    """Put a package of nothing but its metadata into ``index``; the hash of its wheel."""
    path = index / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", "Provides-Extra: fast"]
    metadata += [f"Requires-Dist: {one}" for one in requires]
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\n" + "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        for file, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Packages as those that broke an installation: one locked with an extra, wanted without, and released anew."""
    index = tmp_path / "index"
    index.mkdir()
    lines = [
        f"app==1 --hash=sha256:{wheel(index, 'app', '1', 'auth[fast]', 'api')}",
        f"api==1 --hash=sha256:{wheel(index, 'api', '1', 'auth')}",
        f"auth[fast]==1 --hash=sha256:{wheel(index, 'auth', '1')}",
    ]
    for name in ("app", "api", "auth"):
        wheel(index, name, "2")
    (tmp_path / "lock.txt").write_text("\n".join(lines) + "\n")
    return index


def install(python: str, index: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": "/dev/null"}
    command = [python, "-m", "pip", "install", *options, "-r", str(index.parent / "lock.txt")]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module", params=interpreters(), ids=lambda path: Path(path).name)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with the pip that comes with a Python, unpacked: ensurepip takes ten seconds."""
    where = tmp_path_factory.mktemp("venv")
    subprocess.run([request.param, "-m", "venv", "--without-pip", str(where)], check=True)
    bundled = subprocess.check_output([request.param, "-c", BUNDLED_PIP], text=True).strip()
    (site_packages,) = where.glob("lib/python*/site-packages")
    with zipfile.ZipFile(bundled) as archive:
        archive.extractall(site_packages)
    return str(where / "bin" / "python")


def test_a_lock_is_installed_as_it_is_whatever_was_released_since(python: str, index: Path) -> None:
    done = install(python, index, *flags())
    assert done.returncode == 0, done.stderr
    code = "import api, app, auth; print(api.version, app.version, auth.version)"
    assert subprocess.check_output([python, "-c", code], text=True).split() == ["1", "1", "1"]
    assert subprocess.run([python, "-m", "pip", "check"], check=False, capture_output=True).returncode == 0


def test_an_incomplete_lock_is_noticed(python: str, index: Path, tmp_path: Path) -> None:
    subprocess.run([python, "-m", "pip", "uninstall", "-qq", "--yes", "auth"], check=True, capture_output=True)
    lock = tmp_path / "lock.txt"
    lock.write_text("".join(line for line in lock.read_text().splitlines(keepends=True) if "auth" not in line))
    assert install(python, index, *flags()).returncode == 0
    checked = subprocess.run([python, "-m", "pip", "check"], check=False, capture_output=True, text=True)
    assert checked.returncode != 0
    assert "auth" in checked.stdout


def test_every_installation_of_a_lock_goes_without_a_resolver_and_is_checked() -> None:
    for file in ("Makefile", "Dockerfile"):
        text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
        installs = [line for line in text.splitlines() if "pip install" in line or "install --no-cache-dir" in line]
        for line in installs:
            assert "--no-deps" in line or "$(PIP_FLAGS)" in line, f"{file}: {line}"
            if "requirements" in line or "runtime.txt" in line:
                assert " check" in line, f"{file}: {line}"
