"""Hashing of passwords."""

from typing import Protocol


class PasswordHasher(Protocol):
    """Slow on purpose, so it must not be called inside a unit of work. Raises DependencyDown when too many wait."""

    def hash(self, password: str) -> str:
        """A salted hash of a password of any length: two hashes of one password differ."""

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of the hash. None never matches, in the time that a mismatch takes."""

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than new ones. Fast."""
