"""The web process: settings -> container -> app. Served by granian (``python -m entrypoints.cli web``)."""

from entrypoints.api.app import create_app
from entrypoints.container import build_web
from entrypoints.logs import configure_logs
from entrypoints.settings import load_settings

settings = load_settings()
configure_logs(settings.log_level)
web = build_web(settings)
app = create_app(web.use_cases, web.sandbox)
