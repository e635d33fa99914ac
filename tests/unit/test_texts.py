"""Every language has every text; docs/languages.md sends those who add a language, a problem or a page here."""

import re
from string import Formatter

import pytest

from domain.errors import DomainError
from domain.languages import DEFAULT_LANGUAGE, Language
from entrypoints.api.languages import CATALOGUES
from entrypoints.api.problem_bodies import example_of
from entrypoints.api.problem_registry import PROBLEMS, leaves
from entrypoints.api.schemas import camel_case
from entrypoints.api.texts.catalogue import PageText

TRANSLATED = [language for language in Language if language is not DEFAULT_LANGUAGE]
# A letter of the script in which a language is written.
SCRIPTS = {Language.ENGLISH: re.compile("[A-Za-z]"), Language.HINDI: re.compile("[\u0900-\u097f]")}

every_language = pytest.mark.parametrize("language", Language)


def placeholders(template: str | None) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template or "") if name}


def quoted(text: str) -> list[str]:
    """What is said in code, such as names of members and headers."""
    return sorted(set(re.findall("`([^`]+)`", text)))


def test_every_language_has_a_catalogue():
    assert set(CATALOGUES) == set(Language) == set(SCRIPTS)


@every_language
def test_every_problem_has_its_texts_and_there_are_no_others(language: Language):
    catalogue = CATALOGUES[language]
    assert set(catalogue.problems) == set(PROBLEMS)
    for code, texts in catalogue.problems.items():
        for text in (texts.title, texts.why, texts.what_to_do, texts.occurrence or texts.title):
            assert SCRIPTS[language].search(text), f"{code}: {text!r} is in another language"


@every_language
def test_every_page_has_its_texts(language: Language):
    pages = CATALOGUES[language].pages
    assert set(pages) == set(PageText)
    assert not [text for text in PageText if not pages[text].strip()]


@pytest.mark.parametrize("code", PROBLEMS)
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_tells_the_same_facts_and_names_the_same_things(language: Language, code: str):
    original, translated = PROBLEMS[code], CATALOGUES[language].problems[code]
    assert placeholders(translated.occurrence) == placeholders(original.occurrence)
    assert quoted(translated.why) == quoted(original.why)
    assert quoted(translated.what_to_do) == quoted(original.what_to_do)


@pytest.mark.parametrize("code", PROBLEMS)
@every_language
def test_the_detail_of_every_problem_can_be_filled_with_its_members(language: Language, code: str):
    example = example_of(PROBLEMS[code], CATALOGUES[language])
    assert "{" not in example.get("detail", "")
    assert ("detail" in example) == (PROBLEMS[code].occurrence is not None or code == "bad_request")


@pytest.mark.parametrize("error", leaves(DomainError), ids=lambda error: error.code)
def test_every_error_brings_what_its_detail_says(error: type[DomainError]):
    facts = {camel_case(name) for name in error.__annotations__}
    waits = {"wait"} if facts & {"retryAfter", "resetsAt"} else set()
    assert placeholders(PROBLEMS[error.code].occurrence) <= facts | waits


@pytest.mark.parametrize(
    ("seconds", "english", "hindi"),
    [
        (1, "1 second", "1 सेकंड"),
        (28, "28 seconds", "28 सेकंड"),
        (119, "119 seconds", "119 सेकंड"),
        (120, "2 minutes", "2 मिनट"),
        (121, "3 minutes", "3 मिनट"),
        (7_199, "120 minutes", "120 मिनट"),
        (7_200, "2 hours", "2 घंटे"),
        (86_400, "24 hours", "24 घंटे"),
    ],
)
def test_a_duration_is_never_told_too_short(seconds: int, english: str, hindi: str):
    assert CATALOGUES[Language.ENGLISH].duration(seconds) == english
    assert CATALOGUES[Language.HINDI].duration(seconds) == hindi
