"""The stories of a reply being written."""

from dependency_injector import containers, providers

from application.background_use_cases import Replying
from application.chat.write_reply import AskModel, ClaimReplies, FindStops, ReleaseReply, StoreOutcome, Sweep
from application.operations.retention import ForgetOld


class ReplyStories(containers.DeclarativeContainer):
    """What workers do."""

    outside = providers.DependenciesContainer()
    replying = providers.Factory(
        Replying,
        claim=providers.Factory(ClaimReplies, begin=outside.begin, policy=outside.reply_policy),
        ask_model=providers.Factory(
            AskModel,
            reader=outside.reader,
            language_model=outside.language_model,
            feed=outside.reply_feed,
            policy=outside.reply_policy,
            history_tokens=outside.history_tokens,
        ),
        store_outcome=providers.Factory(
            StoreOutcome, begin=outside.begin, feed=outside.reply_feed, policy=outside.reply_policy
        ),
        find_stops=providers.Factory(FindStops, begin=outside.begin),
        release=providers.Factory(ReleaseReply, begin=outside.begin, feed=outside.reply_feed),
        sweep=providers.Factory(Sweep, begin=outside.begin, feed=outside.reply_feed, policy=outside.reply_policy),
        forget_old=providers.Factory(
            ForgetOld, begin=outside.begin, clock=outside.clock, audit_retention=outside.audit_retention
        ),
    )
