"""The stories of a reply being written."""

from dependency_injector import containers, providers

from application.background_use_cases import ReplyUseCases
from application.chat.write_reply import (
    AskModel,
    ClaimReplies,
    FailExpiredReplies,
    FindStops,
    ReleaseReply,
    StoreOutcome,
)
from application.operations.retention import PurgeExpired


class ReplyStories(containers.DeclarativeContainer):
    """What workers do."""

    outside = providers.DependenciesContainer()
    replying = providers.Factory(
        ReplyUseCases,
        claim=providers.Factory(ClaimReplies, unit_of_work=outside.unit_of_work, policy=outside.reply_policy),
        ask_model=providers.Factory(
            AskModel,
            reader=outside.reader,
            language_model=outside.language_model,
            publisher=outside.reply_publisher,
            policy=outside.reply_policy,
            history_tokens=outside.history_tokens,
        ),
        store_outcome=providers.Factory(
            StoreOutcome,
            unit_of_work=outside.unit_of_work,
            publisher=outside.reply_publisher,
            policy=outside.reply_policy,
        ),
        find_stops=providers.Factory(FindStops, unit_of_work=outside.unit_of_work),
        release=providers.Factory(ReleaseReply, unit_of_work=outside.unit_of_work, publisher=outside.reply_publisher),
        fail_expired=providers.Factory(
            FailExpiredReplies,
            unit_of_work=outside.unit_of_work,
            publisher=outside.reply_publisher,
            policy=outside.reply_policy,
        ),
        purge_expired=providers.Factory(
            PurgeExpired,
            unit_of_work=outside.unit_of_work,
            clock=outside.clock,
            audit_retention=outside.audit_retention,
        ),
    )
