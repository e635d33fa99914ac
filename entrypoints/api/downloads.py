"""Responses that are saved as files: their names, and what becomes of one that breaks off."""

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import structlog

from domain.errors import DomainError

# Not in names of files on some system, or taken by the header itself.
UNFIT = re.compile(r'[\\/:*?"<>|%;]')
UNFIT_IN_ASCII = re.compile(r"[^A-Za-z0-9 ._-]+")
# RFC 8187, 3.2.1: attr-char, besides letters and digits.
ATTR_CHARS = "!#$&+-.^_`|~"
LONGEST = 100

log = structlog.get_logger(__name__)


def attachment(name: str, *, extension: str, fallback: str) -> str:
    """The Content-Disposition of a file that is called ``name``, in any script (RFC 6266, RFC 8187).

    Older clients read ``filename``, which is ASCII: ``fallback`` where nothing of the name is.
    """
    printable = "".join(" " if unicodedata.category(one).startswith(("C", "Z")) else one for one in name)
    whole = _trimmed(UNFIT.sub("_", printable)) or fallback
    ascii_only = _trimmed(UNFIT_IN_ASCII.sub("_", whole))
    if not any(one.isalnum() for one in ascii_only):
        ascii_only = fallback
    encoded = quote(f"{whole}.{extension}", safe=ATTR_CHARS)
    return f"attachment; filename=\"{ascii_only}.{extension}\"; filename*=UTF-8''{encoded}"


def until_broken_off(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts of an export, as far as they can be read."""
    try:
        yield from parts
    except DomainError as error:
        # The status has been sent already: the missing last line tells the client.
        log.warning("export_broken_off", error=error.code)


def _trimmed(name: str) -> str:
    """Without dots and blanks around it: a leading dot hides a file, and a last one is lost."""
    return " ".join(name.split())[:LONGEST].strip(" .")
