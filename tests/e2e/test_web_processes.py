"""``WEB_PROCESSES=2``: two web processes on one port, under one command."""

from collections.abc import Iterator

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.e2e.service import Service, lives, running, until

pytestmark = pytest.mark.real

TRIES = 40


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("two"), WEB_PROCESSES="2") as started:
        yield started


def listening(service: Service) -> list[psutil.Process]:
    """The processes that listen on the port."""
    return [one for one in service.process("web").children() if lives(one) and _listens(one, service.port)]


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        connections = process.net_connections()
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def both_listen(service: Service) -> list[psutil.Process]:
    return until("both listen", lambda: found if len(found := listening(service)) == 2 else None)


def ask(service: Service) -> None:
    """Requests on connections of their own, which the kernel spreads over the processes."""
    for _ in range(TRIES):
        assert httpx.get(f"{service.base}/health/ready", headers={"Connection": "close"}).status_code == 200


def test_one_that_is_killed_is_started_again_and_requests_go_on(service: Service) -> None:
    victim, other = both_listen(service)
    victim.kill()
    victim.wait()
    ask(service)
    assert other in listening(service)
    assert victim not in both_listen(service)
    assert "web_process_ended" in service.said()


def test_their_log_lines_are_told_apart(service: Service) -> None:
    both_listen(service)
    ask(service)
    said = service.said()
    assert '"process":1' in said
    assert '"process":2' in said


def test_both_stop_when_they_are_told_to(service: Service) -> None:
    both = both_listen(service)
    web = service.process("web")
    web.terminate()
    service.replaced(web, "web")
    assert "web ended with status 0" in service.said()
    assert not [one for one in both if lives(one)]


def test_both_stop_when_who_started_them_is_killed(service: Service) -> None:
    both = both_listen(service)
    web = service.process("web")
    web.kill()
    until("both have ended", lambda: not [one for one in both if lives(one)])
    service.replaced(web, "web")
    both_listen(service)
    until("it is ready again", lambda: service.readiness() == (200, []))


def test_a_second_service_on_the_port_is_refused(service: Service) -> None:
    second = service.another_web()
    assert second.wait(60) == 1
    assert f"Cannot listen on 127.0.0.1:{service.port}" in service.said()
