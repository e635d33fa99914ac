"""``doctor``, ``users``, ``replies`` and ``version``: an operator looks after the service."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.sql.schema import REVISION
from domain.accounts import PhoneNumber
from domain.feedback import Feedback, FeedbackReason, Rating
from domain.replies import FailureReason, ReplyState
from entrypoints.cli.commands import cli
from entrypoints.settings import VARIABLES
from tests.contract.world import ALLOWANCES, SqlWorld, new_id, sql_world
from tests.e2e.service import free_port

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def settings(clean_database: str, clean_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setenv("DATABASE_URL", clean_database)
    monkeypatch.setenv("REDIS_URL", clean_redis)
    monkeypatch.setattr("entrypoints.cli.invocation.configure_logs", lambda _level: None)


@pytest.fixture
def world(clean_database: str) -> Iterator[SqlWorld]:
    with sql_world(clean_database) as world:
        yield world


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == status, done.output
    return done


class TestUsers:
    def test_one_is_found_by_number_and_by_id(self, world: SqlWorld) -> None:
        user = world.user(phone=PhoneNumber("+919876500017"))
        for who in (user.phone.e164, "98765 00017", str(user.id)):
            assert run("users", "find", who).stdout == f"{user.id}  basic  not locked\n"
        assert json.loads(run("users", "find", str(user.id), "--json").stdout)["userId"] == str(user.id)
        assert "There is no such user" in run("users", "find", str(new_id()), status=1).stderr
        assert "not a mobile phone number" in run("users", "find", "asha", status=1).stderr

    @pytest.mark.parametrize("way", [(), ("--json",)])
    def test_what_is_personal_shows_when_it_is_to_be_revealed(self, world: SqlWorld, way: tuple[str, ...]) -> None:
        user = world.user(phone=PhoneNumber("+919876500018"), name="Asha Rao", email="asha@example.org")
        shown = run("users", "show", str(user.id), *way).stdout
        assert "…18" in shown
        assert not [text for text in ("9876500018", "Asha", "asha@") if text in shown]
        revealed = run("users", "show", str(user.id), "--reveal", *way).stdout
        assert all(text in revealed for text in ("+919876500018", "Asha Rao", "asha@example.org"))

    def test_each_change_is_made_and_recorded(self, world: SqlWorld) -> None:
        user = str(world.user().id)
        run("users", "lock", user, "--reason", "spam")
        assert json.loads(run("users", "find", user, "--json").stdout)["lockedAt"] is not None
        run("users", "unlock", user, "--reason", "a mistake")
        run("users", "end-sessions", user, "--reason", "a lost phone")
        run("users", "grant-pro", user, "--days", "30", "--reason", "a partner")
        shown = json.loads(run("users", "show", user, "--json").stdout)
        assert (shown["plan"], shown["lockedAt"], shown["limitToday"]) == ("pro", None, None)
        run("users", "withdraw-pro", user, "--reason", "no partner")
        shown = json.loads(run("users", "show", user, "--json").stdout)
        assert shown["plan"] == "basic"
        what = [(one["what"], one["note"].rpartition(": ")[2]) for one in reversed(shown["events"])]
        assert what == [
            ("account_locked", "spam"),
            ("account_unlocked", "a mistake"),
            ("sessions_ended", "a lost phone"),
            ("pro_granted", "a partner"),
            ("pro_withdrawn", "no partner"),
        ]
        assert '"note":"spam"' in run("audit", "--user", user, "--what", "account_locked").stdout

    def test_pro_until_a_day(self, world: SqlWorld) -> None:
        user = world.user()
        run("users", "grant-pro", str(user.id), "--until", "2999-01-31", "--reason", "a partner")
        status = world.reader.plan_status(user.id, allowances=ALLOWANCES)
        assert status.granted_until == datetime(2999, 1, 31, tzinfo=UTC)
        late = run("users", "grant-pro", str(user.id), "--until", "2001-01-31", "--reason", "late", status=1)
        assert "must be in the future" in late.stderr
        both = ("--until", "2999-01-31", "--days", "1")
        for wrong in ((), both):
            run("users", "grant-pro", str(user.id), *wrong, "--reason", "?", status=2)


class TestReplies:
    def test_what_failed_is_listed(self, world: SqlWorld) -> None:
        room = world.room()
        reply = world.ask(room)
        assert run("replies", "list").stdout == "None.\n"
        world.fail(world.claim_one().claim, FailureReason.REFUSED)
        [line] = run("replies", "list", "--json").stdout.splitlines()
        assert json.loads(line)["replyId"] == str(reply.id)
        assert str(reply.id) in run("replies", "list", "--reason", "refused", "--user", str(room.user_id)).stdout
        assert run("replies", "list", "--reason", "model_busy").stdout == "None.\n"
        assert run("replies", "list", "--since", "2999-01-01").stdout == "None.\n"
        run("replies", "list", "--user", str(new_id()), status=1)

    def test_what_was_rated_is_listed(self, world: SqlWorld) -> None:
        room = world.room()
        reply = world.ask(room)
        world.answer_all()
        assert run("replies", "list", "--feedback", "down").stdout == "None.\n"
        feedback = Feedback(Rating.DOWN, (FeedbackReason.TOO_LONG,), "a secret comment", datetime.now(UTC))
        world.feedback.put(room.user_id, reply.id, feedback)
        listed = run("replies", "list", "--feedback", "down", "--user", str(room.user_id)).stdout
        assert f"{reply.id}" in listed
        assert "down  too_long" in listed
        [line] = run("replies", "list", "--feedback", "down", "--json").stdout.splitlines()
        assert (json.loads(line)["rating"], json.loads(line)["ratingReasons"]) == ("down", "too_long")
        assert run("replies", "list", "--feedback", "up").stdout == "None.\n"
        assert run("replies", "list").stdout == "None.\n"
        run("replies", "list", "--feedback", "down", "--reason", "refused", status=2)
        shown = run("replies", "show", str(reply.id)).stdout
        assert "a secret comment" not in shown + listed + line
        assert "a secret comment" in run("replies", "show", str(reply.id), "--reveal").stdout

    def test_the_texts_show_when_they_are_to_be_revealed(self, world: SqlWorld) -> None:
        reply = world.ask(world.room(), "a secret question")
        for way in ((), ("--json",)):
            shown = run("replies", "show", str(reply.id), *way).stdout
            assert "a secret question" not in shown
            assert "17" in shown
            assert "a secret question" in run("replies", "show", str(reply.id), "--reveal", *way).stdout
        assert "There is no such message" in run("replies", "show", str(new_id()), status=1).stderr

    def test_one_is_given_up_and_retried(self, world: SqlWorld) -> None:
        reply = world.ask(world.room())
        run("replies", "retry", str(reply.id), status=1)
        run("replies", "give-up", str(reply.id))
        assert world.reply(reply.id).failure is FailureReason.GIVEN_UP
        run("replies", "give-up", str(reply.id), status=1)
        again = json.loads(run("replies", "retry", str(reply.id), "--json").stdout)["replyId"]
        assert world.reply(again).state is ReplyState.QUEUED

    def test_without_redis_it_is_done_as_well(self, world: SqlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("REDIS_URL")
        reply = world.ask(world.room())
        run("replies", "give-up", str(reply.id))
        run("replies", "retry", str(reply.id))


def test_a_database_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    assert "Not available: database." in run("users", "find", str(new_id()), status=2).stderr
    assert "Not available: database." in run("replies", "list", status=2).stderr


class TestDoctor:
    def test_servers_that_are_well(self) -> None:
        found = [json.loads(line) for line in run("doctor", "--json").stdout.splitlines()]
        verdicts = {one["subject"]: one["verdict"] for one in found}
        assert verdicts["database.schema"] == verdicts["database.encoding"] == verdicts["redis.eviction"] == "ok"
        assert "fail" not in verdicts.values()
        assert "0 fail" in run("doctor").stdout

    def test_something_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}")
        monkeypatch.setenv("GEMINI_APIKEY", "hunter2")
        told = run("doctor", status=1).stdout
        assert "FAIL  redis" in told
        assert "Did you mean GEMINI_API_KEY?" in told
        assert "hunter2" not in told

    def test_settings_that_cannot_be_used_are_findings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "http")
        [first, *_] = run("doctor", "--json", status=1).stdout.splitlines()
        assert json.loads(first)["verdict"] == "fail"
        assert "PORT must be" in json.loads(first)["says"]


def test_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(run("version", "--json").stdout)
    assert told["schema"] == told["schemaNeeded"] == REVISION
    monkeypatch.delenv("DATABASE_URL")
    assert "schema        unknown" in run("version").stdout
