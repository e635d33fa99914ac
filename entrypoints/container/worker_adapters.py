"""The adapters of a worker process."""

from dependency_injector.providers import Provider, ThreadSafeSingleton

from adapters.stripe.lazy_payments import LazyPayments
from application.ports.language_model import LanguageModel
from application.ports.payments import Payments
from entrypoints.container.adapters import SharedAdapters, singleton
from entrypoints.container.language_models import language_model_of


class WorkerAdapters(SharedAdapters):
    """The adapters of a worker process."""

    settings = SharedAdapters.settings

    language_model: Provider[LanguageModel] = singleton(language_model_of, settings)
    history_tokens = singleton(lambda settings: settings.history_tokens, settings)
    # Given the provider, not what it provides.
    payments: Provider[Payments] = ThreadSafeSingleton(LazyPayments, SharedAdapters.payments.provider)
    audit_retention = singleton(lambda settings: settings.audit_retention, settings)
