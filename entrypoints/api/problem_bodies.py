"""Problem documents (RFC 9457) in the language of a catalogue, as responses and as examples."""

from collections.abc import Mapping
from typing import Any

from entrypoints.api.problem_registry import ProblemType
from entrypoints.api.texts.catalogue import Catalogue
from entrypoints.api.texts.english import ENGLISH

# In examples, where the wait does not stand among the members: until midnight.
HOURS_UNTIL_MIDNIGHT = 14


def problem_body(
    kind: ProblemType, members: Mapping[str, Any], texts: Catalogue, *, request_id: str, wait: int | None = None
) -> dict[str, Any]:
    """``members``: the facts of this occurrence; they replace other members. ``wait``: seconds until a later try."""
    own = texts.problems[kind.code]
    body: dict[str, Any] = {"type": kind.path, "title": own.title, "status": kind.status}
    if own.occurrence is not None:
        told = {} if wait is None else {"wait": texts.duration(wait)}
        body["detail"] = own.occurrence.format_map({**members, **told})
    return {**body, "code": kind.code, "requestId": request_id, **members}


def example_of(kind: ProblemType, texts: Catalogue = ENGLISH) -> dict[str, Any]:
    """A whole problem of this type."""
    wait = kind.members.get("retryAfter", HOURS_UNTIL_MIDNIGHT * 3600)
    return problem_body(kind, kind.members, texts, request_id="4f1c2d9e8b7a6053", wait=wait)
