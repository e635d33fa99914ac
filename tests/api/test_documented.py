"""DocumentedClient fails where a response and the document differ."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import Client, application
from tests.api.documented import assert_documented, strict_document_of

Json = dict[str, Any]


def without_the_path(document: Json) -> None:
    """Nothing is said of /user/me."""
    del document["paths"]["/user/me"]


def without_the_method(document: Json) -> None:
    """/user/me is said to be posted to."""
    document["paths"]["/user/me"]["post"] = document["paths"]["/user/me"].pop("get")


def with_another_status(document: Json) -> None:
    """What is 200 is said to be 201, and all else a problem."""
    responses = document["paths"]["/user/me"]["get"]["responses"]
    responses["201"] = responses.pop("200")


def with_another_media_type(document: Json) -> None:
    """What is JSON is said to be text."""
    content = document["paths"]["/user/me"]["get"]["responses"]["200"]["content"]
    content["text/plain"] = content.pop("application/json")


def without_a_body(document: Json) -> None:
    """The answer is said to be empty."""
    del document["paths"]["/user/me"]["get"]["responses"]["200"]["content"]


def without_a_member(document: Json) -> None:
    """Nothing is said of the name."""
    profile = document["components"]["schemas"]["Profile"]
    del profile["properties"]["name"]
    profile["required"].remove("name")


def with_one_more_member(document: Json) -> None:
    """There is said to be a member that is not there."""
    document["components"]["schemas"]["Profile"]["required"].append("shoeSize")


def with_another_type(document: Json) -> None:
    """The use of the quota, further down, is said to be a text."""
    document["components"]["schemas"]["Usage"]["properties"]["used"]["type"] = "string"


def with_another_format(document: Json) -> None:
    """The number is said to be a time."""
    document["components"]["schemas"]["Profile"]["properties"]["mobileNumber"]["format"] = "date-time"


@pytest.mark.parametrize("code", ["token_invalid", "chatroom_not_found"])
def test_a_problem_is_held_to_the_codes_of_the_document(asha: Client, guest: Client, code: str):
    path = f"/chatroom/{uuid4()}"
    answer = guest.get(path) if code == "token_invalid" else asha.get(path)
    document = deepcopy(strict_document_of(application()))
    assert_documented(answer, document)
    responses = document["paths"]["/chatroom/{chatroomId}"]["get"]["responses"]
    del responses[str(answer.status_code)]["content"]["application/problem+json"]["examples"][code]
    with pytest.raises(AssertionError, match=code):
        assert_documented(answer, document)
    del responses[str(answer.status_code)]  # nor will the default do
    with pytest.raises(AssertionError):
        assert_documented(answer, document)


@pytest.mark.parametrize(
    "falsify",
    [
        without_the_path,
        without_the_method,
        with_another_status,
        with_another_media_type,
        without_a_body,
        without_a_member,
        with_one_more_member,
        with_another_type,
        with_another_format,
    ],
)
def test_an_answer_is_held_to_the_document(asha: Client, falsify: Callable[[Json], None]):
    answer = asha.get("/user/me")
    document = deepcopy(strict_document_of(application()))
    assert_documented(answer, document)
    falsify(document)
    with pytest.raises(AssertionError):
        assert_documented(answer, document)
