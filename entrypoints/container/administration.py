"""The use cases of operators who look after users and replies, assembled from adapters."""

from application.background_use_cases import Administration
from application.operations.replies import GiveUpReply, RetryReply, ShowReply
from application.operations.users import (
    ChangeAccount,
    EndSessions,
    FindUser,
    GrantPro,
    LockUser,
    ShowUser,
    UnlockUser,
    WithdrawPro,
)
from entrypoints.container.use_cases import chat_use_cases, recorder_of
from entrypoints.container.web_adapters import WebAdapters


def administration(adapters: WebAdapters) -> Administration:
    unit_of_work, clock, reply_files = adapters.unit_of_work(), adapters.clock(), adapters.reply_files()
    change_account = ChangeAccount(unit_of_work=unit_of_work, recorder=recorder_of(adapters))
    show_reply = ShowReply(reply_files=reply_files)
    return Administration(
        find_user=FindUser(ledger=adapters.ledger(), read_phone_number=adapters.read_phone_number()),
        show_user=ShowUser(
            unit_of_work=unit_of_work,
            reader=adapters.reader(),
            audit_reader=adapters.audit_reader(),
            allowances=adapters.allowances(),
        ),
        lock_user=LockUser(change_account=change_account, clock=clock),
        unlock_user=UnlockUser(change_account=change_account),
        end_sessions=EndSessions(change_account=change_account),
        grant_pro=GrantPro(change_account=change_account, clock=clock),
        withdraw_pro=WithdrawPro(change_account=change_account),
        reply_files=reply_files,
        show_reply=show_reply,
        retry_reply=RetryReply(show_reply=show_reply, ask_again=chat_use_cases(adapters).ask_again),
        give_up_reply=GiveUpReply(
            unit_of_work=unit_of_work, publisher=adapters.reply_publisher(), show_reply=show_reply
        ),
    )
