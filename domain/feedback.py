"""What users think of replies."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import InvalidValue

COMMENT_MAX_LENGTH = 1_000


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


class FeedbackReason(StrEnum):
    """Why a reply was rated so."""

    INCORRECT = "incorrect"
    UNSAFE = "unsafe"
    NOT_HELPFUL = "not_helpful"
    TOO_LONG = "too_long"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's rating of one reply. ``reasons``: each at most once, in the order of FeedbackReason."""

    rating: Rating
    reasons: tuple[FeedbackReason, ...]
    comment: str | None
    given_at: datetime

    @classmethod
    def given(
        cls, rating: Rating, *, reasons: Collection[FeedbackReason], comment: str | None, at: datetime
    ) -> "Feedback":
        """New feedback. Raises InvalidValue when the comment is blank or too long."""
        if comment is not None and not comment.strip():
            raise InvalidValue("comment", "must not be blank")
        if comment is not None and len(comment) > COMMENT_MAX_LENGTH:
            raise InvalidValue("comment", f"must have at most {COMMENT_MAX_LENGTH} characters")
        return cls(rating, tuple(reason for reason in FeedbackReason if reason in reasons), comment, at)
