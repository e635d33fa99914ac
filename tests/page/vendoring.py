"""What the pages and their tests contain of others: fetched from npm, and recorded with version, licence and hash.

``python -m tests.page.vendoring`` fetches the recorded versions again, with ``--upgrade`` the newest. npm checks
what it downloads against the registry's own hash.
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = Path(__file__).parent / "vendored.json"


def vendored() -> list[dict[str, Any]]:
    """For each file: ``package``, ``version``, ``licence``, ``source`` in the package, ``file``, ``sha256``."""
    entries: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return entries


def sha256(file: str) -> str:
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()


def fetch(entry: dict[str, Any], *, upgrade: bool) -> dict[str, Any]:
    wanted = entry["package"] if upgrade else f"{entry['package']}@{entry['version']}"
    with tempfile.TemporaryDirectory() as directory:
        packed = subprocess.run(
            ["npm", "pack", "--json", "--silent", wanted], cwd=directory, check=True, capture_output=True, text=True
        )
        told = json.loads(packed.stdout)
        # Newer versions of npm give the packages by name.
        (package,) = told.values() if isinstance(told, dict) else told
        with tarfile.open(Path(directory) / Path(package["filename"]).name) as archive:
            licence = json.loads(_read(archive, "package.json"))["license"]
            content = _read(archive, entry["source"])
            named = next(name for name in ("LICENSE", "LICENSE.txt") if f"package/{name}" in archive.getnames())
            (ROOT / f"{entry['file']}.LICENSE").write_bytes(_read(archive, named))
    if entry["file"].endswith(".js"):
        # The comment names a file that is not here; browsers would ask for it.
        lines = [line for line in content.splitlines() if not line.startswith(b"//# sourceMappingURL=")]
        content = b"\n".join(lines) + b"\n"
    (ROOT / entry["file"]).write_bytes(content)
    return {**entry, "version": package["version"], "licence": licence, "sha256": sha256(entry["file"])}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(f"package/{name}")
    assert found is not None, name
    return found.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    arguments = parser.parse_args()
    entries = [fetch(entry, upgrade=arguments.upgrade) for entry in vendored()]
    MANIFEST.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
