"""Server-sent events by the standard (html.spec.whatwg.org, 9.2.6), in whatever parts they come."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llm import server_sent_events
from adapters.llm.server_sent_events import LONGEST_EVENT, EventParser

STREAMS = [
    pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="LF"),
    pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="CRLF"),
    pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="CR"),
    pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="line ends mixed"),
    pytest.param(b"data:a\n\n", [b"a"], id="no blank after the colon"),
    pytest.param(b"data:  a \n\n", [b" a "], id="one blank is left out"),
    pytest.param(b": keep-alive\n\n:\n\ndata: a\n: in between\ndata: b\n\n", [b"a\nb"], id="comments"),
    pytest.param(b"event: x\nid: 7\nretry: 10\nodd\ndata: a\nother: b\n\n", [b"a"], id="other fields"),
    pytest.param(b"event: ping\n\ndata: a\n\n", [b"a"], id="an event without data"),
    pytest.param(b"data: {\ndata:  1}\n\n", [b"{\n 1}"], id="several lines of data"),
    pytest.param(b"data:\n\ndata\n\ndata: a\n\n", [b"", b"", b"a"], id="empty data"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"], id="a byte order mark"),
    pytest.param("data: अ🙂\u2028\u0085\x0b\x0c\n\n".encode(), ["अ🙂\u2028\u0085\x0b\x0c".encode()], id="no line ends"),
    pytest.param(b"database: a\nDATA: b\n data: c\n\n", [], id="other names"),
    pytest.param(b"data: a: b\n\n", [b"a: b"], id="a colon in the data"),
    pytest.param(b"data: a\n\ndata: b", [b"a", b"b"], id="no line end at the end"),
    pytest.param(b"data: a\n\ndata: b\n", [b"a", b"b"], id="no empty line at the end"),
    pytest.param(b"", [], id="nothing"),
]


def data_of(*parts: bytes) -> list[bytes]:
    parser = EventParser()
    return [data for part in parts for data in parser.feed(part)] + list(parser.end())


@pytest.mark.parametrize(("stream", "data"), STREAMS)
@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda stream: [stream], id="whole"),
        pytest.param(lambda stream: [stream[at : at + 1] for at in range(len(stream))], id="each byte"),
        pytest.param(lambda stream: [b"", stream[:1], b"", stream[1:], b""], id="empty parts"),
    ],
)
def test_events_are_read_however_the_stream_is_cut(
    stream: bytes, data: list[bytes], cut: Callable[[bytes], list[bytes]]
):
    assert data_of(*cut(stream)) == data


@given(st.lists(st.sampled_from([b"data", b":", b" ", b"\r", b"\n", b"a"])), st.data())
def test_no_cut_changes_what_is_read(tokens: list[bytes], draw: st.DataObject):
    stream = b"".join(tokens)
    at = draw.draw(st.integers(0, len(stream)))
    assert data_of(stream[:at], stream[at:]) == data_of(stream)


def test_an_event_comes_with_its_last_byte():
    parser = EventParser()
    assert list(parser.feed(b"data: a\r\n\r")) == [b"a"]
    assert list(parser.feed(b"\ndata: b\n\n")) == [b"b"]


def test_long_events_are_read():
    line = b"x" * 5_000_000
    parts = [b"data: ", *[line[at : at + 65_536] for at in range(0, len(line), 65_536)], b"\n\n"]
    assert data_of(*parts) == [line]


@pytest.mark.parametrize("endless", [b"x" * 1000, b"data: x\n" * 125, b"data:" + b"x" * 994 + b"\n"])
def test_an_event_without_an_end_is_not_kept(endless: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_sent_events, "LONGEST_EVENT", LONGEST_EVENT // 1000)
    parser = EventParser()
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(LONGEST_EVENT // 100):
            list(parser.feed(endless))


def test_comments_add_up_to_no_event(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_sent_events, "LONGEST_EVENT", 20)
    assert data_of(*[b": keep-", b"alive\n"] * 50, b"data: a\n\n") == [b"a"]
