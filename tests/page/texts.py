"""The texts of the chat page, read from its catalogues."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "entrypoints" / "chat_page"
TEXTS = PAGE / "js" / "texts"

SECTION = re.compile(r"^export const (?P<name>[A-Z]+) = \{\n(?P<body>.*?)^\};$", re.MULTILINE | re.DOTALL)
ONE = r"'(?:[^'\\\n]|\\.)*'"
# One line for each text: `key: 'text',` or `key: { one: 'text', other: 'text' },`.
ENTRY = re.compile(rf"  (?P<key>\w+): (?:(?P<text>{ONE})|\{{ (?P<forms>\w+: {ONE}(?:, \w+: {ONE})*) \}}),")
FORM = re.compile(rf"(\w+): ({ONE})")


@dataclass(frozen=True)
class Text:
    """``forms``: by the categories of Intl.PluralRules; ``other`` alone where the text has no number."""

    forms: dict[str, str]

    @property
    def placeholders(self) -> set[str]:
        """The names that some form fills in. A form may say the number itself: ``One chat found.``"""
        return {name for form in self.forms.values() for name in re.findall(r"\{(\w+)\}", form)}


Section = dict[str, Text]


def languages() -> list[str]:
    return sorted(path.stem for path in TEXTS.glob("*.js"))


def catalogue(language: str) -> dict[str, Section]:
    """The sections of a catalogue; every line in them is a text, a comment or blank."""
    source = (TEXTS / f"{language}.js").read_text(encoding="utf-8")
    return {found["name"]: _section(found["body"]) for found in SECTION.finditer(source)}


def words(language: str) -> dict[str, str]:
    """TEXTS as strings, for tests of the page; of those with a number the form for many."""
    return {key: text.forms["other"] for key, text in catalogue(language)["TEXTS"].items()}


def _section(body: str) -> Section:
    section: Section = {}
    for line in body.splitlines():
        if not line.strip() or line.strip().startswith("//"):
            continue
        entry = ENTRY.fullmatch(line)
        assert entry, f"not one line for one text: {line}"
        assert entry["key"] not in section, f"there twice: {line}"
        forms = FORM.findall(entry["forms"]) if entry["forms"] else [("other", entry["text"])]
        section[entry["key"]] = Text({name: text[1:-1] for name, text in forms})
    return section
