"""The worker as it is built tells the health check of its host that it lives, whatever else is down."""

from pathlib import Path

from entrypoints.container.build import build_worker
from entrypoints.health import is_well
from tests.e2e.service import free_port
from tests.integration.conftest import settings_of


def test_a_worker_lives_though_every_server_be_down(tmp_path: Path) -> None:
    nowhere = free_port()
    worker = build_worker(
        settings_of(
            tmp_path,
            database_url=f"postgresql://nobody@127.0.0.1:{nowhere}/none",
            redis_url=f"redis://127.0.0.1:{nowhere}",
            LLM_PROVIDER="offline",
        )
    )
    assert not is_well(tmp_path, nowhere)
    worker.heartbeat.announce()
    assert is_well(tmp_path, nowhere)
    worker.close()
    assert not is_well(tmp_path, nowhere)
