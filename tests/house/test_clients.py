"""What `clients/` has from the OpenAPI document is what the document gives now."""

import json

import pytest

from tools.postman import generate


@pytest.mark.parametrize("path", generate.files(), ids=lambda path: path.name)
def test_the_postman_collection_is_what_the_document_and_the_flows_give(path):
    assert path.read_text(encoding="utf-8") == generate.files()[path], "run `make clients`"


def test_no_two_requests_of_the_collection_have_one_id():
    # Postman's runner goes by them.
    ids = []

    def collect(items):
        for item in items:
            ids.append(item["id"])
            collect(item.get("item", []))

    collect(json.loads((generate.TARGET / "collection.json").read_text(encoding="utf-8"))["item"])
    assert len(set(ids)) == len(ids) > 50
