"""The stories that requests ask for."""

from dependency_injector import containers, providers

from application.operations.readiness import CheckReadiness
from application.use_cases import UseCases
from entrypoints.container.auth import AuthStories
from entrypoints.container.billing import BillingStories
from entrypoints.container.chat import ChatStories


class Inside(containers.DeclarativeContainer):
    """The stories that requests ask for, wired to whatever adapters ``outside`` provides."""

    outside = providers.DependenciesContainer()
    auth = providers.Container(AuthStories, outside=outside)
    chat = providers.Container(ChatStories, outside=outside)
    billing = providers.Container(BillingStories, outside=outside)
    use_cases = providers.Factory(
        UseCases,
        auth=auth.auth,
        chat=chat.chat,
        billing=billing.billing,
        check_readiness=providers.Factory(
            CheckReadiness,
            database=outside.database_probe,
            redis=outside.redis_probe,
            workers=outside.worker_heartbeat,
        ),
    )
