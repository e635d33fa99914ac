"""The text of an answer and what comes with it, made safe to store."""

from typing import Any

from adapters.llm.call_loop import Delivery
from domain.replies import AnswerFailed, FailureReason

MOST_TOKENS = 2**53


def storable(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    # isascii() takes constant time, and most chunks are plain ASCII.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def name_of(value: Any, default: str) -> str:
    """The name of a model as the provider gives it; ``default`` where it gives none, or no text."""
    return storable(value) if isinstance(value, str) and value else default


def count_of(value: Any) -> int | None:
    """A number of tokens as the provider gives it; None for anything else."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


class VisibleText:
    """The text of an answer without the thoughts that models write in front of it, between ``<think>`` and
    ``</think>``. Holds back what may be a part of such a tag.
    """

    TAGS = ("<think>", "<thinking>", "<thought>")

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._next = self._begin

    def feed(self, text: str) -> str:
        """What there is to show."""
        return self._next(text)

    def end(self) -> str:
        """What was held back and is no thought."""
        return self._held if self._next == self._begin else ""

    def _begin(self, text: str) -> str:
        self._held += text
        start = self._held.lstrip()
        for tag in self.TAGS:
            if start.startswith(tag):
                self._held, self._closing = "", tag.replace("<", "</")
                self._next = self._think
                return self._think(start.removeprefix(tag))
        if any(tag.startswith(start) for tag in self.TAGS):
            return ""
        self._next = _all_of
        return self._held

    def _think(self, text: str) -> str:
        thought, tag, text = (self._held + text).partition(self._closing)
        if not tag:
            self._held = thought[-len(self._closing) :]
            return ""
        self._next = self._begin_to_speak
        return self._begin_to_speak(text)

    def _begin_to_speak(self, text: str) -> str:
        text = text.lstrip()
        if text:
            self._next = _all_of
        return text


def _all_of(text: str) -> str:
    return text


class Chunks:
    """The text of an answer as it grows. True once there is any."""

    __slots__ = ("_delivery", "_texts")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, text: str) -> None:
        """Append a chunk, which the delivery's next ``flush`` delivers."""
        text = storable(text)
        if text:
            self._texts.append(text)
            self._delivery.chunk(text)

    def whole(self) -> str:
        """The whole text. AnswerFailed when it is empty or blank."""
        text = "".join(self._texts)
        if not text.strip():
            raise AnswerFailed(FailureReason.EMPTY_ANSWER)
        return text
