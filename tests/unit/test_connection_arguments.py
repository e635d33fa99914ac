"""How a database's URL is read."""

import pytest

from adapters.sql.database import connection_arguments
from application.operations.startup import CannotStart

EVERYTHING = {"host": "db.example.org", "port": "5433", "user": "asha", "password": "a/b@c%", "dbname": "chat"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
@pytest.mark.parametrize("password", ["a%2Fb%40c%25", "a%2Fb%40c%"])
def test_a_password_may_hold_anything(scheme: str, password: str):
    assert connection_arguments(f"{scheme}://asha:{password}@db.example.org:5433/chat") == EVERYTHING


def test_what_is_asked_for_is_handed_on():
    url = "postgresql://asha@/chat?host=/run/postgresql&sslmode=require"
    assert connection_arguments(url) == {
        "user": "asha",
        "dbname": "chat",
        "host": "/run/postgresql",
        "sslmode": "require",
    }


def test_a_user_may_be_of_a_server() -> None:
    arguments = connection_arguments("postgresql://asha@chat:secret@db.example.org/chat")
    assert (arguments["user"], arguments["password"], arguments["host"]) == ("asha@chat", "secret", "db.example.org")


def test_what_is_left_empty_is_left_to_the_driver() -> None:
    assert connection_arguments("postgresql://:@db.example.org/chat") == {"host": "db.example.org", "dbname": "chat"}
    assert connection_arguments("postgresql://@/chat") == {"dbname": "chat"}


def test_there_may_be_several_hosts_and_addresses() -> None:
    arguments = connection_arguments("postgresql://asha@[::1]:5433,db.example.org:5432/chat")
    assert (arguments["host"], arguments["port"]) == ("::1,db.example.org", "5433,5432")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://asha:p@secret%zz@db.example.org/chat",
        "postgresql://asha:secret@[::1/chat",
        "postgresql://asha:secret@db.example.org/chat?unknown=secret",
    ],
)
def test_one_that_cannot_be_read_is_not_shown(url: str) -> None:
    with pytest.raises(CannotStart) as raised:
        connection_arguments(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
