"""What `clients/` has from the OpenAPI document is what the document gives now."""

import hashlib
import json
import re

import pytest
from gemini_chat import Client, models

from tools.postman import generate

DOCUMENT = generate.DOCUMENT.read_bytes()
# Stripe calls the one, browsers and probes the others.
NO_METHOD = {"receive_stripe_event", "get_home", "get_liveness", "get_readiness"}


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


def test_the_python_types_are_of_this_document():
    source = (generate.ROOT / "clients/python/gemini_chat/models.py").read_text(encoding="utf-8")
    assert hashlib.sha256(DOCUMENT).hexdigest() in source.partition("\n")[0], "run `make clients`"
    assert json.loads(DOCUMENT)["components"]["schemas"].keys() <= vars(models).keys()


def test_the_python_client_has_a_method_for_every_operation():
    operations = {
        re.sub("([A-Z])", r"_\1", operation["operationId"]).lower()
        for item in json.loads(DOCUMENT)["paths"].values()
        for method, operation in item.items()
        if method != "parameters" and not operation.get("deprecated")
    }
    methods = {name for name in vars(Client) if not name.startswith("_")}
    assert methods - {"close"} == operations - NO_METHOD
