"""Rotation of the secrets that are our own, step by step, as docs/operations.md has it, and what each costs."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import make_url

from adapters.sql.database import Database, make_pool
from application.use_cases import UseCases
from domain.accounts import UserId
from domain.errors import CredentialsInvalid, DependencyDown, OtpInvalid, TokenInvalid
from domain.one_time_password import Purpose
from tests.integration.conftest import BuildUseCases
from tests.integration.people import a_mobile_number, log_in
from tests.servers import libpq_url

OLD, NEW = "an old secret of 32 bytes or more", "a new secret of 32 bytes or more."
STEPS = (OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", NEW)
PASSWORD, ANOTHER = "Correct-Horse-1", "Battery-Staple-2"


class Deployment:
    """Web processes on one database and one Redis, by their JWT_SECRET."""

    def __init__(self, build: BuildUseCases, database_url: str, redis_url: str) -> None:
        self._build, self._servers = build, (database_url, redis_url)

    def web(self, jwt_secret: str = OLD, **more: str) -> UseCases:
        return self._build(*self._servers, JWT_SECRET=jwt_secret, **more)


@pytest.fixture
def deployment(build_use_cases: BuildUseCases, clean_database: str, clean_redis: str) -> Deployment:
    return Deployment(build_use_cases, clean_database, clean_redis)


def whose(process: UseCases, token: str) -> UserId:
    return process.auth.authenticate(token).user_id


def code_for(process: UseCases, number: str, purpose: Purpose = Purpose.LOGIN) -> str:
    code = process.auth.request_code(mobile_number=number, purpose=purpose).shown
    assert code is not None
    return code


class TestJwtSecret:
    @pytest.mark.parametrize(("before", "after"), [STEPS[0:2], STEPS[1:3]])
    def test_while_processes_restart_each_takes_the_tokens_of_the_others(
        self, deployment: Deployment, before: str, after: str
    ) -> None:
        old, new = deployment.web(before), deployment.web(after)
        for here, there in ((old, new), (new, old)):
            login = log_in(here, a_mobile_number())
            assert whose(there, login.token) == login.user.id
            refreshed = there.auth.refresh_session(refresh_token=login.refresh_token)
            assert whose(here, refreshed.token) == login.user.id
            # The answer was lost, and the client asks another process: no theft, so the session goes on.
            again = here.auth.refresh_session(refresh_token=login.refresh_token)
            assert again.refresh_token == refreshed.refresh_token
            assert whose(there, again.token) == login.user.id

    def test_without_the_step_between_tokens_are_refused_while_processes_restart(self, deployment: Deployment) -> None:
        old, new = deployment.web(STEPS[0]), deployment.web(STEPS[2])
        with pytest.raises(TokenInvalid):
            whose(old, log_in(new, a_mobile_number()).token)

    def test_once_the_tokens_of_the_old_one_are_over_it_goes_and_sessions_stay(self, deployment: Deployment) -> None:
        both, new = deployment.web(STEPS[2]), deployment.web(STEPS[3])
        login = log_in(both, a_mobile_number())
        assert whose(new, login.token) == login.user.id
        earlier = log_in(deployment.web(OLD), a_mobile_number())
        refreshed = new.auth.refresh_session(refresh_token=earlier.refresh_token)
        assert whose(new, refreshed.token) == earlier.user.id

    def test_one_that_leaked_opens_nothing_any_more_and_clients_refresh(self, deployment: Deployment) -> None:
        login = log_in(deployment.web(OLD), a_mobile_number())
        new = deployment.web(NEW)
        with pytest.raises(TokenInvalid):
            whose(new, login.token)
        refreshed = new.auth.refresh_session(refresh_token=login.refresh_token)
        assert whose(new, refreshed.token) == login.user.id

    def test_its_cost_is_that_codes_which_were_sent_are_void(self, deployment: Deployment) -> None:
        number = a_mobile_number()
        code = code_for(deployment.web(STEPS[1]), number)
        new = deployment.web(STEPS[2])
        with pytest.raises(OtpInvalid):
            new.auth.verify_code(mobile_number=number, code=code)
        # At once: how long to wait before the next code was counted under the old secret.
        again = code_for(new, number)
        assert new.auth.verify_code(mobile_number=number, code=again).user.phone.e164 == number


class TestPasswordPepper:
    def test_with_another_one_no_password_is_right_until_it_is_set_anew_by_a_code(self, deployment: Deployment) -> None:
        number = a_mobile_number()
        before, after = deployment.web(PASSWORD_PEPPER="a"), deployment.web(PASSWORD_PEPPER="b")
        before.auth.sign_up(mobile_number=number, name=None, email=None, password=PASSWORD)
        log_in(before, number)
        login = before.auth.log_in(mobile_number=number, password=PASSWORD)

        with pytest.raises(CredentialsInvalid):
            after.auth.log_in(mobile_number=number, password=PASSWORD)
        # Sessions go on, and codes work.
        assert whose(after, login.token) == login.user.id
        by_code = code_for(after, number, Purpose.PASSWORD_RESET)
        after.auth.reset_password(mobile_number=number, code=by_code, new_password=ANOTHER)
        assert after.auth.log_in(mobile_number=number, password=ANOTHER).user.id == login.user.id


@pytest.fixture
def role(clean_database: str) -> Iterator[str]:
    """The URL of a database by a role of its own, which may read."""
    name, password = f"role_{uuid4().hex}", uuid4().hex
    statement(clean_database, f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE pg_read_all_data")
    yield make_url(clean_database).set(username=name, password=password).render_as_string(hide_password=False)
    statement(clean_database, f"DROP ROLE {name}")


def statement(database_url: str, text: str) -> None:
    with closing(psycopg2.connect(libpq_url(database_url))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(text)


def test_a_role_with_another_password_keeps_its_connections_and_gets_no_new_ones(
    clean_database: str, role: str
) -> None:
    name, password = make_url(role).username, uuid4().hex
    before = Database(make_pool(role, size=2, application_name="before"))
    with before.read() as cursor:
        cursor.execute("SELECT 1")
    statement(clean_database, f"ALTER ROLE {name} PASSWORD '{password}'")
    with before.read() as cursor:
        cursor.execute("SELECT 1")
        with pytest.raises(DependencyDown), before.read() as another:
            another.execute("SELECT 1")
    renamed = make_url(role).set(password=password).render_as_string(hide_password=False)
    after = Database(make_pool(renamed, size=2, application_name="after"))
    with after.read() as cursor:
        cursor.execute("SELECT 1")
    before.close()
    after.close()
