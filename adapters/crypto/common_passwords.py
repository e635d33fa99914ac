"""Common passwords, from a list in the package.

``common_passwords.txt.gz``: the 8,359 entries with eight or more characters of the list that Django ships (BSD
licence), which Royce Williams made of the passwords that leaked most often; lower case, one a line. 30 KB, read once,
in six milliseconds.
"""

import gzip
from functools import cache
from pathlib import Path

from application.ports.common_passwords import IsCommonPassword

LIST = Path(__file__).with_suffix(".txt.gz")


class ListedCommonPasswords(IsCommonPassword):
    def __call__(self, password: str) -> bool:
        return password.lower() in _listed()


@cache
def _listed() -> frozenset[str]:
    with gzip.open(LIST, "rt", encoding="utf-8") as lines:
        return frozenset(line.rstrip("\n") for line in lines)
