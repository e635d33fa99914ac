"""What an exchange shows of tokens, codes and numbers: nothing."""

import re
from threading import Lock

HIDDEN = "***"

_MEMBERS = re.compile(
    r'("(?:otp|code|token|accessToken|refreshToken|password|newPassword|currentPassword|mobileNumber|email)"\s*:\s*)'
    r'(?:"(?:[^"\\]|\\.)*"|\d+)'
)
# The code of a problem is a word, such as otp_invalid.
_PROBLEM_CODE = re.compile(r'"code"\s*:\s*"[a-z_]+"')
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "stripe-signature"})


class Masker:
    """Hides members of JSON and headers that are secret by their name, JWTs, and each value it was told of."""

    def __init__(self, *, is_on: bool = True) -> None:
        self._is_on = is_on
        self._lock = Lock()
        self._values: set[str] = set()

    def hide(self, *values: str) -> None:
        with self._lock:
            self._values |= {value for value in values if value}

    def text(self, text: str) -> str:
        if not self._is_on:
            return text
        text = _MEMBERS.sub(_hidden_member, text)
        text = _JWT.sub(HIDDEN, text)
        with self._lock:
            values = sorted(self._values, key=len, reverse=True)
        for value in values:
            text = text.replace(value, HIDDEN)
        return text

    def header(self, name: str, value: str) -> str:
        if not self._is_on or name.lower() not in _HEADERS:
            return self.text(value)
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {HIDDEN}" if space and scheme.lower() == "bearer" else HIDDEN


def _hidden_member(member: re.Match[str]) -> str:
    return member[0] if _PROBLEM_CODE.fullmatch(member[0]) else f'{member[1]}"{HIDDEN}"'
