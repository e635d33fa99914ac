"""Whether an answer has begun to come."""

from collections.abc import Callable


def _nothing() -> None:
    pass


class FirstPiece:
    """``on_chunk`` with a memory. ``when_it_comes`` is called once, before the first chunk is passed on."""

    __slots__ = ("_on_chunk", "_when_it_comes", "came")

    def __init__(self, on_chunk: Callable[[str], None], when_it_comes: Callable[[], None] = _nothing) -> None:
        self._on_chunk = on_chunk
        self._when_it_comes = when_it_comes
        self.came = False

    def __call__(self, chunk: str) -> None:
        if not self.came:
            self.came = True
            self._when_it_comes()
        self._on_chunk(chunk)
