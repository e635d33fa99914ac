"""What we write into the metadata of Stripe's objects: the id of the user that they are about."""

from typing import Any
from uuid import UUID

from domain.accounts import UserId


def user_named_in(one: Any) -> UserId | None:
    """The user whose id our API key has written into an object; None where there is none, or no such object."""
    metadata = one.get("metadata") if isinstance(one, dict) else None
    named = metadata.get("user_id") if isinstance(metadata, dict) else None
    try:
        return UserId(UUID(named)) if isinstance(named, str) else None
    except ValueError:
        return None
