"""The model that the settings choose."""

from collections.abc import Sequence
from typing import NamedTuple

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.llm.fallback import LanguageModelFallback
from adapters.llm.misconfiguration import MisconfigurationWatch
from adapters.llm.offline import OfflineLanguageModel
from adapters.llm.options import ModelOptions
from adapters.llm.shrinking_history import ShrinkingHistory
from adapters.system_runtime import system_clock
from application.ports.health import Fault
from application.ports.language_model import LanguageModel
from entrypoints.settings import Settings


class WatchedModel(NamedTuple):
    """The model that writes the replies, which is ``watch``, and what is known of its provider."""

    breaker: LanguageModelBreaker
    watch: MisconfigurationWatch

    def fault(self) -> Fault | None:
        """What is wrong with it."""
        if self.watch.is_misconfigured():
            return Fault.MISCONFIGURED
        return Fault.BREAKER_OPEN if self.breaker.is_open() else None


def language_model_of(settings: Settings) -> WatchedModel:
    models = [ShrinkingHistory(model, clock=system_clock) for model in _models(settings)]
    breaker = LanguageModelBreaker(LanguageModelFallback(models, clock=system_clock), clock=system_clock)
    watch = MisconfigurationWatch(breaker, clock=system_clock)
    return WatchedModel(breaker, watch)


def _models(settings: Settings) -> Sequence[LanguageModel]:
    """In order of preference."""
    if settings.llm_provider == "offline":
        return [OfflineLanguageModel()]
    options = ModelOptions(
        max_output_tokens=settings.model_max_output_tokens,
        thinking_budget=settings.model_thinking_budget,
        safety=settings.model_safety,
    )
    # Imported here: an HTTP client takes a third of a second and 30 MB, which no other process should pay.
    if settings.llm_provider == "openai-compatible":
        from adapters.llm.openai_compatible import OpenAiCompatibleLanguageModel

        return [
            OpenAiCompatibleLanguageModel(
                base_url=settings.openai_base_url or "",
                model=settings.openai_model or "",
                api_key=settings.openai_api_key.reveal() or None,
                options=options,
                idle=settings.model_idle,
            )
        ]
    key, url, idle = settings.gemini_api_key.reveal(), settings.gemini_base_url, settings.model_idle
    if settings.llm_provider == "gemini-legacy":
        from adapters.llm.gemini_legacy import GeminiLegacyLanguageModel

        names = (settings.gemini_model, *settings.gemini_fallback_models)
        return [
            GeminiLegacyLanguageModel(api_key=key, model=name, base_url=url, options=options, idle=idle)
            for name in names
        ]
    from adapters.llm.gemini import GeminiLanguageModel

    first = GeminiLanguageModel(api_key=key, model=settings.gemini_model, base_url=url, options=options, idle=idle)
    return [first, *map(first.with_model, settings.gemini_fallback_models)]
