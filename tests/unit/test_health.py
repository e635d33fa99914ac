"""The health check of containers, for either role."""

import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from entrypoints.health import SILENT_SECONDS, is_well, sign_of_life
from entrypoints.worker.sign_of_life import SignOfLife


class Beats:
    def __init__(self) -> None:
        self.count = 0

    def announce(self) -> None:
        self.count += 1


class Live(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a web server that lives."""
    with HTTPServer(("127.0.0.1", 0), Live) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def nobody() -> int:
    """A port on which nobody answers."""
    with HTTPServer(("127.0.0.1", 0), Live) as server:
        return server.server_port


@pytest.fixture
def sign(tmp_path: Path) -> SignOfLife:
    return SignOfLife(Beats(), sign_of_life(tmp_path))


def test_a_web_process_is_well_while_it_answers(tmp_path: Path, web: int, nobody: int) -> None:
    assert is_well(tmp_path, web)
    assert not is_well(tmp_path, nobody)


def test_a_worker_is_well_from_its_first_beat_to_its_end(tmp_path: Path, nobody: int, sign: SignOfLife) -> None:
    sign.announce()
    assert is_well(tmp_path, nobody)
    sign.end()
    assert not is_well(tmp_path, nobody)


def test_a_worker_that_was_silent_for_long_is_not_whatever_else_answers(
    tmp_path: Path, web: int, sign: SignOfLife
) -> None:
    sign.announce()
    long_ago = time.time() - SILENT_SECONDS - 1
    os.utime(sign.path, (long_ago, long_ago))
    assert not is_well(tmp_path, web)


def test_where_nothing_can_be_written_the_others_hear_of_the_worker_all_the_same(tmp_path: Path) -> None:
    beats = Beats()
    sign = SignOfLife(beats, tmp_path / "missing" / "sign")
    sign.announce()
    sign.end()
    assert beats.count == 1
