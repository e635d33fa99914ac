"""What real processes tell a collector of traces and Sentry."""

from contextlib import closing
from pathlib import Path

import psycopg2

from tests.collector import Collector
from tests.e2e.service import Person, Service, running, until


def test_web_and_worker_tell_of_their_work_and_their_errors_and_of_nobodys_words(tmp_path: Path):
    with (
        Collector() as collector,
        running(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, SENTRY_DSN=collector.dsn) as service,
    ):
        asha = Person(service).log_in()
        asha.http.headers["Prefer"] = "wait=20"
        answer = asha.send("What only the model may read")
        assert answer.status_code == 201
        # Unexpected errors: PostgreSQL refuses a message, and then a claim.
        execute(service, "ALTER TABLE messages ADD CONSTRAINT no CHECK (content <> 'And this neither') NOT VALID")
        execute(service, "ALTER TABLE replies ADD CONSTRAINT no CHECK (state <> 'running') NOT VALID")
        assert asha.send("And this neither").status_code == 500
        del asha.http.headers["Prefer"]
        assert asha.send("Nor this").status_code == 202
        until("both are told", lambda: all(told(collector, event) for event in ("unforeseen_error", "claim_failed")))
        assert service.stop() == 0

        route = "POST /chatroom/<uuid:chatroom_id>/message"
        answers = [one for one in collector.spans() if one.name == route]
        [done] = [one for one in answers if one.attributes.get("http.response.status_code") == 201]
        waited = next(one for one in collector.spans() if one.id == done.parent)
        [accepted] = [one for one in collector.spans() if one.name == "accept message" and one.parent == waited.id]
        [queued] = [one for one in collector.spans() if one.links == [accepted.id]]
        [attempt] = [one for one in collector.spans() if one.parent == queued.id]
        assert {one.name for one in collector.spans() if one.parent == attempt.id} == {"call model", "store outcome"}

        everything = b"".join(collector.traces + collector.events)
        assert [secret for secret in service.secrets if secret.encode() in everything] == []


def execute(service: Service, statement: str) -> None:
    with closing(psycopg2.connect(service.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def told(collector: Collector, event: str) -> bool:
    return any(f'"logger":"{event}"'.encode() in body for body in collector.events)
