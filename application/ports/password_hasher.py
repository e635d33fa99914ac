"""Passwords at rest."""

from typing import Protocol


class PasswordHasher(Protocol):
    """Slow on purpose: never call it inside a unit of work. DependencyDown when too many wait for it already."""

    def hash(self, password: str) -> str:
        """A salted hash; two of the same password differ. Takes any length of text."""

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash. None never matches, and costs what a mismatch costs."""

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than new ones are. Costs no work."""
