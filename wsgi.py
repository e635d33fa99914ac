"""The web process: settings -> container -> app. Served by granian (``python -m entrypoints.cli web``)."""

from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from entrypoints.container.build import build_web
from entrypoints.logs import configure_logs
from entrypoints.settings import load_settings

settings = load_settings()
configure_logs(settings.log_level)
web = build_web(settings)
app = create_app(
    web.use_cases,
    HttpOptions(
        trusted_proxies=settings.trusted_proxies,
        cors_origins=settings.cors_origins,
        https_only=settings.in_production,
    ),
    sandbox=web.sandbox,
    working_requests=settings.web_threads,
    waiting_requests=settings.stream_threads,
)
