"""The languages in which people are addressed."""

from enum import StrEnum


class Language(StrEnum):
    """Each value is the tag of BCP 47 (RFC 5646)."""

    ENGLISH = "en"
    HINDI = "hi"


DEFAULT_LANGUAGE = Language.ENGLISH
