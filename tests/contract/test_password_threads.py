"""However many log in, some threads go on serving everybody else."""

from threading import Event, Thread
from typing import Any

import bcrypt
import pytest

from adapters.crypto.bcrypt_password_hasher import AT_ONCE, BcryptPasswordHasher
from domain.errors import DependencyDown


def test_who_finds_no_place_is_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = BcryptPasswordHasher(pepper=b"", cost=4, places=3)
    begun, may_end = [Event() for _ in range(AT_ONCE)], Event()
    hash_password = bcrypt.hashpw
    turns = iter(begun)

    def slow(*values: Any) -> bytes:
        next(turns, Event()).set()
        may_end.wait(10)
        return hash_password(*values)

    monkeypatch.setattr(bcrypt, "hashpw", slow)
    threads = [Thread(target=hasher.hash, args=("a password",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert all(event.wait(10) for event in begun)
    while hasher._places._value:  # the third has come in, and waits
        pass
    for attempt in (hasher.hash, lambda password: hasher.matches(password, None)):
        with pytest.raises(DependencyDown) as refused:
            attempt("a password")
        assert refused.value.dependency == "password_hasher"
    may_end.set()
    for thread in threads:
        thread.join()
    assert hasher.matches("a password", hasher.hash("a password"))
