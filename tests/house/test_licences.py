"""What production installs may be shipped with a product that is not free: by the packages' own metadata."""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

# The larger one of the two that an image may have.
LOCK = Path(__file__).resolve().parents[2] / "requirements" / "telemetry.txt"
# A weak copyleft (MPL) concerns changes of the package's own files, of which there are none.
ALLOWED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MPL-2.0", "PSF-2.0"}
# It is linked dynamically, and may be replaced by another build of itself.
ALLOWED_AS_IT_IS = {"psycopg2-binary": "GNU Library or Lesser General Public License (LGPL)"}
# What classifiers say, and the free text of packages that have neither them nor an expression.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def licences(package: str) -> set[str]:
    """Every licence that its metadata names, be all of them meant or one of them."""
    told = metadata.metadata(package)
    if "License-Expression" in told:
        expression = told["License-Expression"]
        return set(re.split(r" AND | OR ", re.sub("[()]", "", expression)))
    classifiers = [row.rpartition(" :: ")[2] for row in told.get_all("Classifier") or [] if row.startswith("License")]
    return {SPDX.get(name, name) for name in classifiers or [told["License"]]}


def test_no_runtime_dependency_has_a_licence_that_asks_for_ours() -> None:
    rows = [Requirement(line.rstrip(" \\")) for line in LOCK.read_text().splitlines() if line[:1].isalnum()]
    installed = [row.name for row in rows if not row.marker or row.marker.evaluate()]
    refused = {
        name: found for name in installed if (found := licences(name) - ALLOWED - {ALLOWED_AS_IT_IS.get(name, "")})
    }

    assert installed
    assert refused == {}
