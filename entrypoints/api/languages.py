"""Which language a response speaks: negotiated by ``Accept-Language`` (RFC 9110, 12.5.4), English by default."""

from collections.abc import Mapping

from flask import Response, request

from domain.languages import DEFAULT_LANGUAGE, Language
from entrypoints.api.texts.catalogue import Catalogue
from entrypoints.api.texts.english import ENGLISH
from entrypoints.api.texts.hindi import HINDI

CATALOGUES: Mapping[Language, Catalogue] = {Language.ENGLISH: ENGLISH, Language.HINDI: HINDI}
BY_TAG = {language.value: language for language in Language}
# So many subtags has the longest of them.
MOST_SUBTAGS = max(len(tag.split("-")) for tag in BY_TAG)


def language() -> Language:
    """The language of the current request.

    werkzeug's ``best_match`` is not used: for ``hi-IN, en;q=0.8`` it gives English, since only that is a tag of ours.
    """
    if "Accept-Language" in request.headers:
        # In the order of their weights.
        for range_, quality in request.accept_languages:
            found = _lookup(range_) if quality > 0 else None
            if found is not None:
                return found
    return DEFAULT_LANGUAGE


def texts() -> Catalogue:
    """The texts in the language of the current request."""
    return CATALOGUES[language()]


def in_language(response: Response) -> Response:
    """The response, with headers which say that its texts are in the language of the request."""
    response.headers["Content-Language"] = language().value
    response.vary.add("Accept-Language")
    return response


def _lookup(language_range: str) -> Language | None:
    """Lookup of RFC 4647, 3.4: the range, and then shorter and shorter ones. ``*`` says nothing, and finds nothing."""
    # What follows can be part of no tag of ours: trying all of a very long range would take seconds.
    subtags = language_range.lower().split("-", MOST_SUBTAGS)[:MOST_SUBTAGS]
    while subtags:
        found = BY_TAG.get("-".join(subtags))
        if found is not None:
            return found
        subtags.pop()
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()
    return None
