"""The WSGI application: settings -> container -> app. Any WSGI server can serve it; ``entrypoints.web`` is ours."""

import structlog

from entrypoints.api.app import create_app
from entrypoints.api.client import Proxies
from entrypoints.api.http_options import HttpOptions
from entrypoints.container.build import build_web
from entrypoints.logs import configure_logs, report_errors_to
from entrypoints.settings import load_settings

settings = load_settings()
if not structlog.is_configured():
    configure_logs(settings.log_level)
web = build_web(settings)
if web.report_error is not None:
    report_errors_to(web.report_error)
app = create_app(
    web.use_cases,
    HttpOptions(
        proxies=Proxies(settings.trusted_proxies, settings.trusted_proxy_hops),
        cors_origins=settings.cors_origins,
        https_only=settings.in_production,
        waiting_requests=settings.waiting_requests,
        waiting_requests_per_user=settings.waiting_requests_per_user,
        public_url=settings.public_url,
        on_request=web.metrics.on_request if web.metrics else None,
        trace=web.trace,
        chat_page=settings.chat_page,
    ),
    sandbox=web.sandbox,
)
