"""Readers: each makes a value of a variable's text, or raises Refused."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from domain.accounts import PhoneNumber
from domain.errors import DomainError
from domain.one_time_password import FixedCode

T = TypeVar("T")
Reader = Callable[[str], T]
Network = IPv4Network | IPv6Network

# An origin (RFC 6454) in lower case, as browsers send it; no path, and no asterisk.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
# With what was copied along, such as curly quotes and characters of no width, a key is another key.
API_KEY = re.compile(r"[!#-&(-~]+")
DSN = re.compile(r"https?://[A-Za-z0-9]+(:[A-Za-z0-9]+)?@[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._-]+)*/[0-9]+", re.ASCII)
KEY_PREFIX = re.compile(r"[A-Za-z0-9:._-]{0,64}")
FIXED_CODE = re.compile(r"(\+[0-9]{5,15}):([0-9]{6,10}):([0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)


class Refused(Exception):
    """The faults of a text. Each continues a sentence that begins with the variable's name, and shows no secret."""


class Secret:
    """A text that its repr does not show."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(…)"


def number(least: int, most: int) -> Reader[int]:
    def read(text: str) -> int:
        # Not more than nine digits: int() raises beyond 4,300.
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise Refused(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(least: int, most: int) -> Reader[timedelta]:
    return lambda text: timedelta(seconds=number(least, most)(text))


def days(least: int, most: int) -> Reader[timedelta]:
    return lambda text: timedelta(days=number(least, most)(text))


def choice(*allowed: str) -> Reader[str]:
    """Reads one of ``allowed``. A variable without a default may be blank, too; what that means is told elsewhere."""

    def read(text: str) -> str:
        if text and text not in allowed:
            raise Refused(f"must be one of {', '.join(sorted(allowed))}")
        return text

    return read


def yes_or_no(text: str) -> bool:
    return choice("yes", "no")(text) == "yes"


def url(*schemes: str) -> Reader[str]:
    def read(text: str) -> str:
        if text.partition("://")[0] not in schemes:
            # The value is not shown: it may hold a password.
            raise Refused(f"must begin with one of {', '.join(sorted(schemes))} and ://")
        return text

    return read


# What other languages' drivers and poolers write into the address, and libpq refuses.
FOREIGN_PARAMETERS = (
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "prepareThreshold",
    "schema",
    "statement_cache_size",
)


def postgresql_url(text: str) -> str:
    text = url("postgres", "postgresql", "postgresql+psycopg2")(text)
    given = parse_qs(urlsplit(text).query, keep_blank_values=True)
    if foreign := [name for name in FOREIGN_PARAMETERS if name in given]:
        raise Refused(f"has parameters that PostgreSQL's own driver does not know; leave out {', '.join(foreign)}")
    return text


def redis_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if "sentinel" in scheme or "cluster" in scheme or "," in rest.rpartition("@")[2]:
        # The value is not shown: it may hold a password.
        raise Refused("must name one server: Sentinel and Cluster are not supported")
    return url("redis", "rediss", "unix")(text)


def base_url(text: str) -> str:
    if text and not ORIGIN.fullmatch(text.lower()):
        raise Refused("must be an origin such as https://chat.example.org, without a path")
    return text


def origin(text: str) -> str:
    if not ORIGIN.fullmatch(text.lower()):
        raise Refused(f"must hold origins like https://app.example.com; {text!r} is none")
    return text.lower()


def api_key(text: str) -> Secret:
    if text and not API_KEY.fullmatch(text):
        # The value is not shown.
        raise Refused("must be letters, digits and signs of ASCII, without blanks and quotes")
    return Secret(text)


def dsn(text: str) -> Secret:
    if text and not DSN.fullmatch(text):
        # The value is not shown.
        raise Refused("must be as Sentry shows it: https://key@host/number")
    return Secret(text)


def network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise Refused(f"must hold addresses or networks; {text!r} is neither") from None


def fixed_code(text: str) -> FixedCode:
    if match := FIXED_CODE.fullmatch(text):
        with suppress(ValueError, DomainError):
            return FixedCode(PhoneNumber(match[1]), match[2], date.fromisoformat(match[3]))
    # The value is not shown: it holds a code.
    raise Refused("must be like +919999999999:123456:2026-12-31, with commas between")


def key_prefix(text: str) -> str:
    if not KEY_PREFIX.fullmatch(text):
        raise Refused("must have at most 64 letters, digits, and the characters : . _ -")
    return text


def code_text(text: str) -> str:
    if text.count("{code}") != 1:
        raise Refused("must hold {code} once")
    if not text.isprintable() and not text.replace("\n", "").isprintable():
        raise Refused("must be text that can be printed")
    return text


def optional(read: Reader[T]) -> Reader[T | None]:
    return lambda text: read(text) if text else None


def or_auto(read: Reader[T]) -> Reader[T | None]:
    """Reads ``auto`` as None."""

    def read_or_auto(text: str) -> T | None:
        if text == "auto":
            return None
        try:
            return read(text)
        except Refused as refused:
            raise Refused(*(f"{fault}, or auto" for fault in refused.args)) from None

    return read_or_auto


def several(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """Reads parts with commas between. Refused with the faults of all."""

    def read_parts(text: str) -> tuple[T, ...]:
        values: list[T] = []
        faults: list[str] = []
        for part in filter(None, map(str.strip, text.split(","))):
            try:
                values.append(read(part))
            except Refused as refused:
                faults += refused.args
        if faults:
            raise Refused(*faults)
        return tuple(values)

    return read_parts


def set_of(read: Reader[T]) -> Reader[frozenset[T]]:
    return lambda text: frozenset(several(read)(text))
