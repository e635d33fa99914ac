"""The chat page says everything in every language, for every reason to fail, and nothing from outside its catalogues.

What is missing after a new text stands in the message of the test; docs/languages.md tells where it goes.
"""

import re
from pathlib import Path

import pytest

from domain.errors import DomainError
from domain.feedback import FeedbackReason
from domain.languages import Language
from domain.replies import FailureReason
from entrypoints.api.problem_registry import leaves
from tests.page.texts import PAGE, TEXTS, catalogue, languages

ENGLISH = catalogue("en")
OTHERS = [language for language in languages() if language != "en"]
MODULES = sorted(path for path in (PAGE / "js").glob("*.js"))
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")

# Letters of the script in which a language is written. Some texts are the same everywhere: names, sentences in all.
SCRIPTS = {"hi": re.compile("[\u0900-\u097f]")}
THE_SAME = {"pro"}

other_languages = pytest.mark.parametrize("language", OTHERS)


def test_the_page_has_the_languages_of_the_service():
    assert set(languages()) == set(Language)


def test_each_code_is_one_that_the_api_gives():
    given = {leaf.code for leaf in leaves(DomainError)} | {"payload_too_large", "too_many_waiting"}
    assert set(ENGLISH["PROBLEMS"]) <= given


def test_there_are_words_for_every_reason_of_feedback():
    assert set(ENGLISH["REASONS"]) == {reason.value for reason in FeedbackReason}


def test_there_are_words_for_every_reason_to_fail():
    assert set(ENGLISH["FAILURES"]) == {reason.value for reason in FailureReason}


@other_languages
def test_each_language_has_the_same_texts(language: str):
    theirs = catalogue(language)
    assert set(theirs) == set(ENGLISH)
    for name, section in ENGLISH.items():
        assert list(theirs[name]) == list(section), f"texts/{language}.js, {name}: other texts, or another order"


@other_languages
def test_each_text_fills_in_the_same(language: str):
    theirs = catalogue(language)
    for name, section in ENGLISH.items():
        for key, text in section.items():
            assert theirs[name][key].placeholders == text.placeholders, f"texts/{language}.js, {name}.{key}"
            assert (len(theirs[name][key].forms) > 1) == (len(text.forms) > 1), f"texts/{language}.js, {name}.{key}"


@other_languages
def test_each_text_is_in_the_language(language: str):
    for name, section in catalogue(language).items():
        for key, text in section.items():
            for form in text.forms.values():
                assert key in THE_SAME or SCRIPTS[language].search(form), f"texts/{language}.js, {name}.{key}: {form}"


def test_in_hindi_the_form_for_one_is_that_for_none_too():
    # CLDR: the category `one` of Hindi holds 0 and 1.
    for key, text in catalogue("hi")["TEXTS"].items():
        assert "one" not in text.forms or "{count}" in text.forms["one"], key


def test_every_text_is_used_and_every_text_that_is_used_is_there():
    sources = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    # t('a'), t(isPro ? 'a' : 'b')
    called = {key for call in re.findall(r"\bt\(([^(){}]*)", sources) for key in re.findall(r"'(\w+)'", call)}
    marked = set(re.findall(r' data-(?:text|label|placeholder|title)="(\w+)"', INDEX))
    there = set(ENGLISH["TEXTS"])
    assert called | marked == there, {
        "in no catalogue": sorted((called | marked) - there),
        "unused": sorted(there - called - marked),
    }


# --- Nothing is said outside of the catalogues ---

STRING = re.compile(r"'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`")
COMMENT = re.compile(r"/\*.*?\*/|(?<![:'\"])//[^\n]*", re.DOTALL)
# Begins as a sentence does, or ends as one.
SAYS_SOMETHING = re.compile(r"^[“\s]*[A-Z][a-z]+|[a-z][.!?…]\s*$|[a-z]{2,} [a-z]{2,} [a-z]{2,}")
# Names: of headers, keys, events, products, categories; lists of classes; how the last line of an export begins.
NAMES = {
    *("Accept-Language", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Retry-After", "Link"),
    *("Content-Disposition", "*End of the export"),
    *("Enter", "Escape", "AbortError", "Edge", "Opera", "Firefox", "Chrome", "Safari", "Android", "Windows", "Mac"),
    *("Mac OS", "Linux", "Edg/", "Firefox/", "Chrome/", "Safari/", "Bearer", "noopener noreferrer nofollow"),
}


def said(source: str) -> list[str]:
    """The strings of a module that a user would read."""
    strings = [one or other for one, other in STRING.findall(COMMENT.sub("", source))]
    # What is filled into a template is code.
    bare = [re.sub(r"\$\{[^{}]*\}", "", text) for text in strings]
    return [text for text in bare if SAYS_SOMETHING.search(text) and text.strip() not in NAMES]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_says_anything_by_itself(module: Path):
    assert said(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line", ["notice('Saved.');", "`Hello, ${name}`", "'a name like this'", "show(part, '“Quoted” at first')"]
)
def test_what_says_something_is_noticed(line: str):
    assert said(line)


def test_the_markup_says_nothing_by_itself():
    body = INDEX[INDEX.index("<body>") :]
    body = re.sub(r"<noscript>.*?</noscript>", "", body, flags=re.DOTALL)  # in every language
    shown = [text.strip() for text in re.findall(r">([^<]*)<", body) if re.search(r"\w", text)]
    attributes = re.findall(r' (?:aria-label|placeholder|title|alt)="([^"]*[A-Za-z][^"]*)"', body)
    assert (shown, attributes) == ([], [])


def test_without_scripts_there_is_a_sentence_in_every_language():
    found = re.search(r"<noscript>(.*?)</noscript>", INDEX, re.DOTALL)
    assert found
    assert set(re.findall(r' lang="(\w+)"', found[1])) == set(OTHERS)


def test_catalogues_are_found():
    assert {path.name for path in TEXTS.iterdir()} >= {"en.js", "hi.js"}
