"""What the doors receive, and all that they receive."""

from dataclasses import dataclass

from application.auth.one_time_passwords import RequestCode, VerifyCode
from application.auth.passwords import ChangePassword, LogIn, ResetPassword
from application.auth.profile import ShowProfile
from application.auth.sessions import Authenticate
from application.auth.sign_up import SignUp
from application.billing.ledger import Explain, ShowDays
from application.billing.manage import EndBilling, OpenPortal, SetRenewal, SyncCheckout
from application.billing.payment_events import ApplyPendingEvents, ReceivePaymentEvent, ReplayPaymentEvent
from application.billing.reconcile import Reconcile
from application.billing.standing import ShowStanding
from application.billing.subscribe import Subscribe
from application.chat.rooms import ListChatrooms, OpenChatroom, ReadChatroom
from application.chat.send_message import SendMessage
from application.chat.write_reply import ClaimReplies, FailHopelessReplies, ReleaseReply, WriteReply
from application.readiness import CheckReadiness


@dataclass(frozen=True, slots=True)
class Auth:
    """Who people are."""

    sign_up: SignUp
    request_code: RequestCode
    verify_code: VerifyCode
    log_in: LogIn
    reset_password: ResetPassword
    change_password: ChangePassword
    authenticate: Authenticate
    show_profile: ShowProfile


@dataclass(frozen=True, slots=True)
class Chat:
    """What people say."""

    open_chatroom: OpenChatroom
    list_chatrooms: ListChatrooms
    read_chatroom: ReadChatroom
    send_message: SendMessage


@dataclass(frozen=True, slots=True)
class Billing:
    """What people have."""

    show_standing: ShowStanding
    show_days: ShowDays
    subscribe: Subscribe
    receive_event: ReceivePaymentEvent
    open_portal: OpenPortal
    set_renewal: SetRenewal
    sync_checkout: SyncCheckout
    end_billing: EndBilling


@dataclass(frozen=True, slots=True)
class Replying:
    """What workers do: all that their door receives."""

    claim: ClaimReplies
    write: WriteReply
    release: ReleaseReply
    fail_hopeless: FailHopelessReplies


@dataclass(frozen=True, slots=True)
class BillingUpkeep:
    """What keeps billing true without being asked, and what operators ask for: for worker and command line."""

    apply_pending: ApplyPendingEvents
    reconcile: Reconcile
    replay: ReplayPaymentEvent
    explain: Explain


@dataclass(frozen=True, slots=True)
class UseCases:
    """What requests ask for: all that the HTTP door receives."""

    auth: Auth
    chat: Chat
    billing: Billing
    check_readiness: CheckReadiness
