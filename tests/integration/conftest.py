"""The service as the container builds it, on real servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from application.use_cases import UseCases
from entrypoints.container.build import build_web
from entrypoints.settings import Settings, read_settings

BuildUseCases = Callable[..., UseCases]


def settings_of(data_dir: Path, *, database_url: str, redis_url: str, **more: str) -> Settings:
    """Settings of a web process in development."""
    return read_settings(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(data_dir),
            "JWT_SECRET": "s" * 40,
            "WEB_THREADS": "16",
            **more,
        }
    )


@pytest.fixture
def build_use_cases(tmp_path: Path) -> Iterator[BuildUseCases]:
    """Builds use cases for a database and a Redis; closes them in the end."""
    with ExitStack() as stack:

        def build(database_url: str, redis_url: str, **more: str) -> UseCases:
            web = build_web(settings_of(tmp_path, database_url=database_url, redis_url=redis_url, **more))
            stack.callback(web.close)
            return web.use_cases

        yield build


@pytest.fixture
def use_cases(build_use_cases: BuildUseCases, clean_database: str, clean_redis: str) -> UseCases:
    return build_use_cases(clean_database, clean_redis)
