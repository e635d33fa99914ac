"""The use cases of the HTTP layer."""

from dataclasses import dataclass

from application.auth.erasure import EraseAccount, ExportAccount
from application.auth.logout import EndSession, ListSessions, LogOut
from application.auth.one_time_passwords import RequestCode, VerifyCode
from application.auth.passwords import ChangePassword, LogIn, ResetPassword
from application.auth.profile import ChangeProfile, ShowProfile
from application.auth.rate_limits import LimitRequests
from application.auth.refresh import RefreshSession
from application.auth.sessions import Authenticate, AuthenticateWith
from application.auth.sign_up import SignUp
from application.billing.ledger import ShowDays
from application.billing.manage import OpenPortal, SetRenewal, SyncCheckout
from application.billing.payment_events import ReceivePaymentEvent
from application.billing.plan_status import ShowPlanStatus
from application.billing.subscribe import Subscribe, SubscribeOnce
from application.chat.chatrooms import ChangeChatroom, ListChatrooms, OpenChatroom, ReadChatroom, RemoveChatroom
from application.chat.export_chatroom import ExportChatroom
from application.chat.feedback import GiveFeedback, WithdrawFeedback
from application.chat.follow_reply import FollowReply, PollMessages, ReadEntry, WaitForReply
from application.chat.list_replies import ListReplies
from application.chat.manage_reply import AskAgain, CancelReply
from application.chat.search import SearchChats
from application.chat.send_message import SendMessage
from application.operations.readiness import CheckReadiness
from application.ports.reader import Conversation, Profile


@dataclass(frozen=True, slots=True)
class Auth:
    """Use cases of authentication and accounts."""

    sign_up: SignUp
    request_code: RequestCode
    verify_code: VerifyCode
    log_in: LogIn
    reset_password: ResetPassword
    change_password: ChangePassword
    authenticate: Authenticate
    authenticate_with_profile: AuthenticateWith[Profile]
    authenticate_with_list_version: AuthenticateWith[int]
    authenticate_with_conversation: AuthenticateWith[Conversation | None]
    show_profile: ShowProfile
    refresh_session: RefreshSession
    log_out: LogOut
    list_sessions: ListSessions
    end_session: EndSession
    change_profile: ChangeProfile
    erase_account: EraseAccount
    export_account: ExportAccount
    limit_requests: LimitRequests


@dataclass(frozen=True, slots=True)
class Chat:
    """Use cases of chatrooms, messages and replies."""

    open_chatroom: OpenChatroom
    list_chatrooms: ListChatrooms
    read_chatroom: ReadChatroom
    send_message: SendMessage
    change_chatroom: ChangeChatroom
    remove_chatroom: RemoveChatroom
    export_chatroom: ExportChatroom
    cancel_reply: CancelReply
    ask_again: AskAgain
    read_entry: ReadEntry
    list_replies: ListReplies
    give_feedback: GiveFeedback
    withdraw_feedback: WithdrawFeedback
    poll_messages: PollMessages
    wait_for_reply: WaitForReply
    follow_reply: FollowReply
    search: SearchChats


@dataclass(frozen=True, slots=True)
class Billing:
    """Use cases of plans, quota and subscriptions."""

    show_plan_status: ShowPlanStatus
    show_days: ShowDays
    subscribe: Subscribe
    subscribe_once: SubscribeOnce
    receive_event: ReceivePaymentEvent
    open_portal: OpenPortal
    set_renewal: SetRenewal
    sync_checkout: SyncCheckout


@dataclass(frozen=True, slots=True)
class UseCases:
    auth: Auth
    chat: Chat
    billing: Billing
    check_readiness: CheckReadiness
