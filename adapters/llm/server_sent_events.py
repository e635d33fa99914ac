"""Server-sent events as the standard has them (html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6)."""

import re
from collections.abc import Iterator

LINE_END = re.compile(rb"\r\n|\n|\r")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A model's signature of its thoughts takes 5 MB at most.
LONGEST_EVENT = 16_000_000


class EventParser:
    """Takes a stream in whatever parts it comes, and gives the data of its events. Only ``data`` fields matter here.

    ValueError when an event is longer than LONGEST_EVENT bytes.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # parts of the line that has not ended
        self._data: list[bytes] = []  # lines of the event that has not ended
        self._size = 0
        self._first_line = True
        self._after_cr = False

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that ends in ``received``; all of them are to be taken before the next call."""
        if self._after_cr and received:
            # Its CR has ended the line already.
            received = received.removeprefix(b"\n")
            self._after_cr = False
        if not received:
            return
        self._after_cr = received.endswith(b"\r")
        *ends, rest = LINE_END.split(received)
        for end in ends:
            data = self._line_has_ended(end)
            if data is not None:
                yield data
        self._keep(self._line, rest)

    def end(self) -> Iterator[bytes]:
        """The data of an event whose empty line is missing at the end of the stream. The standard discards it, but
        servers forget that line.
        """
        return self.feed(b"\n\n")

    def _line_has_ended(self, end: bytes) -> bytes | None:
        line = b"".join((*self._line, end))
        self._size -= len(line) - len(end)
        self._line.clear()
        if self._first_line:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._first_line = False
        if not line:
            return self._event_has_ended()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._keep(self._data, value.removeprefix(b" "))
        return None

    def _event_has_ended(self) -> bytes | None:
        lines, self._data, self._size = self._data, [], 0
        return b"\n".join(lines) if lines else None

    def _keep(self, parts: list[bytes], part: bytes) -> None:
        parts.append(part)
        self._size += len(part)
        if self._size > LONGEST_EVENT:
            raise ValueError("an event without an end")
