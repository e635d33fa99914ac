"""What is vendored is what the manifest says, and the chat page consists of nothing else that is not ours."""

from pathlib import Path

import pytest

from tests.page.vendoring import ROOT, sha256, vendored

PAGE = ROOT / "entrypoints" / "chat_page"
DOCS = ROOT / "entrypoints" / "api" / "rapidoc"
LICENCES = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0"}


@pytest.mark.parametrize("entry", vendored(), ids=lambda entry: entry["package"])
def test_a_vendored_file_is_unchanged_and_brings_its_licence(entry):
    assert sha256(entry["file"]) == entry["sha256"], "changed by hand? run `make vendor`"
    assert (ROOT / f"{entry['file']}.LICENSE").read_text(encoding="utf-8").strip()
    if (ROOT / entry["file"]).is_relative_to(ROOT / "entrypoints"):
        assert entry["licence"] in LICENCES


def test_every_vendored_file_stands_in_the_manifest():
    named = {ROOT / entry["file"] for entry in vendored()}
    there = {path for folder in (PAGE, Path(__file__).parent) for path in (folder / "vendor").glob("*.js")}
    assert there | set(DOCS.glob("*.gz")) == named


def test_the_page_names_no_other_server():
    ours = [
        path for path in PAGE.rglob("*.*") if path.suffix in {".html", ".css", ".js"} and path.parent.name != "vendor"
    ]
    found = {
        path.name
        for path in ours
        if "://" in path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    }
    assert not found
