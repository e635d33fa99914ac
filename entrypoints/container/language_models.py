"""The model that the settings choose."""

from adapters.llm.circuit_breaker import LanguageModelBreaker
from adapters.llm.fallback import LanguageModelFallback
from adapters.llm.offline import OfflineLanguageModel
from adapters.llm.options import ModelOptions
from adapters.system_runtime import system_clock
from application.ports.language_model import LanguageModel
from entrypoints.settings import Settings


def language_model_of(settings: Settings) -> LanguageModelBreaker:
    """The model that writes the replies."""
    return LanguageModelBreaker(_provider(settings), clock=system_clock)


def _provider(settings: Settings) -> LanguageModel:
    if settings.llm_provider == "offline":
        return OfflineLanguageModel()
    options = ModelOptions(
        max_output_tokens=settings.model_max_output_tokens,
        thinking_budget=settings.model_thinking_budget,
        safety=settings.model_safety,
    )
    # Imported here: an HTTP client takes a third of a second and 30 MB, which no other process should pay.
    if settings.llm_provider == "openai-compatible":
        from adapters.llm.openai_compatible import OpenAiCompatibleLanguageModel

        return OpenAiCompatibleLanguageModel(
            base_url=settings.openai_base_url or "",
            model=settings.openai_model or "",
            api_key=settings.openai_api_key.reveal() or None,
            options=options,
            idle=settings.model_idle,
        )
    key, url, idle = settings.gemini_api_key.reveal(), settings.gemini_base_url, settings.model_idle
    if settings.llm_provider == "gemini-legacy":
        from adapters.llm.gemini_legacy import GeminiLegacyLanguageModel

        names = (settings.gemini_model, *settings.gemini_fallback_models)
        models: list[LanguageModel] = [
            GeminiLegacyLanguageModel(api_key=key, model=name, base_url=url, options=options, idle=idle)
            for name in names
        ]
        return LanguageModelFallback(models, clock=system_clock)
    from adapters.llm.gemini import GeminiLanguageModel

    first = GeminiLanguageModel(api_key=key, model=settings.gemini_model, base_url=url, options=options, idle=idle)
    others = map(first.with_model, settings.gemini_fallback_models)
    return LanguageModelFallback([first, *others], clock=system_clock)
