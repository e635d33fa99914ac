"""``doctor``: is everything as the service needs it, and what is to be done?"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import click
import orjson

from application.operations.doctor import Finding, Verdict
from entrypoints.settings import Settings, SettingsError, load_settings, misspelt

EXIT_FAILED = 1
MARKS = {Verdict.OK: "ok  ", Verdict.WARN: "warn", Verdict.FAIL: "FAIL"}


def examine(*, as_json: bool, ask_model: bool) -> int:
    """Print the findings; the exit status: 1 when something must be done."""
    try:
        settings = load_settings()
    except SettingsError as error:
        found = [*_faults(error), *_misspelt()]
    else:
        found = [*_settings(settings), *_misspelt(), *_outside(settings, ask_model=ask_model)]
    if as_json:
        for finding in found:
            click.echo(orjson.dumps(asdict(finding)).decode())
    else:
        click.echo(_as_text(found))
    return EXIT_FAILED if any(one.verdict is Verdict.FAIL for one in found) else 0


def _outside(settings: Settings, *, ask_model: bool) -> Sequence[Finding]:
    from entrypoints.container.doctor import examination_of
    from entrypoints.local_stack.running import running_database_url

    database_url = settings.database_url or running_database_url(settings.data_dir)
    return examination_of(replace(settings, database_url=database_url), ask_model=ask_model)()


def _faults(error: SettingsError) -> Iterable[Finding]:
    remedy = "Correct it in the environment or in .env; see the table in the README."
    return [Finding(Verdict.FAIL, "settings", fault, remedy) for fault in error.faults]


def _misspelt() -> Iterable[Finding]:
    return [
        Finding(Verdict.WARN, "settings.name", f"{given} is no setting, so it does nothing", f"Did you mean {meant}?")
        for given, meant in misspelt()
    ]


def _settings(settings: Settings) -> Iterable[Finding]:
    yield Finding(Verdict.OK, "settings", f"can be used, in {settings.app_env}")
    if not settings.in_production:
        says = "development: what is unsafe is allowed, such as codes in the answers"
        yield Finding(Verdict.WARN, "settings.app_env", says, "Set APP_ENV=production where others come.")
    if settings.in_production and not (settings.trusted_proxies or settings.trusted_proxy_hops):
        says = "no proxy is trusted: if there is one, all clients share its address and its limits"
        yield Finding(Verdict.WARN, "settings.proxies", says, "Set TRUSTED_PROXIES or TRUSTED_PROXY_HOPS.")
    if settings.llm_provider == "offline":
        says = "offline: a stand-in answers, and no model"
        yield Finding(Verdict.WARN, "settings.llm_provider", says, "Set GEMINI_API_KEY or LLM_PROVIDER.")


def _as_text(found: Sequence[Finding]) -> str:
    width = max(len(one.subject) for one in found)
    lines = []
    for one in found:
        lines.append(f"{MARKS[one.verdict]}  {one.subject:<{width}}  {one.says}")
        if one.remedy:
            lines.append(f"{'':<{width + 8}}{one.remedy}")
    counts = {verdict: sum(one.verdict is verdict for one in found) for verdict in Verdict}
    return "\n".join([*lines, ", ".join(f"{number} {verdict.value}" for verdict, number in counts.items())])
