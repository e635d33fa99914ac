"""The use cases of requests, assembled from adapters."""

from functools import partial

from application.auth.audit import Recorder
from application.auth.erasure import EraseAccount, ExportAccount
from application.auth.logout import EndSession, ListSessions, LogOut
from application.auth.one_time_passwords import RedeemCode, RequestCode, SendCode, VerifyCode
from application.auth.passwords import AcceptPassword, ChangePassword, CountPasswordTry, LogIn, ResetPassword
from application.auth.profile import ChangeProfile, ShowProfile
from application.auth.rate_limits import LimitRequests
from application.auth.refresh import RefreshSession
from application.auth.sessions import Authenticate, AuthenticateWith, StartSession
from application.auth.sign_up import SignUp
from application.billing.ledger import ShowDays
from application.billing.manage import EndBilling, OpenPortal, SetRenewal, SyncCheckout
from application.billing.payment_events import ReceivePaymentEvent
from application.billing.plan_status import ShowPlanStatus
from application.billing.subscribe import Subscribe, SubscribeOnce
from application.chat.chatrooms import ChangeChatroom, ListChatrooms, OpenChatroom, ReadChatroom, RemoveChatroom
from application.chat.expiry import FailExpiredReplies, SettleOverdue
from application.chat.export_chatroom import ExportChatroom
from application.chat.feedback import GiveFeedback, WithdrawFeedback
from application.chat.follow_reply import FollowReply, PollMessages, ReadEntry, WaitForReply
from application.chat.list_replies import ListReplies
from application.chat.manage_reply import AskAgain, CancelReply
from application.chat.search import SearchChats
from application.chat.send_message import SendMessage
from application.operations.readiness import CheckReadiness
from application.ports.account_erasure_hook import AccountErasureHook
from application.use_cases import Auth, Billing, Chat, UseCases
from domain.one_time_password import OtpPolicy
from entrypoints.container.background_use_cases import (
    apply_payment_event,
    end_and_refund,
    find_customer,
    sync_subscription,
)
from entrypoints.container.web_adapters import WebAdapters


def use_cases(adapters: WebAdapters) -> UseCases:
    end_billing = EndBilling(
        unit_of_work=adapters.unit_of_work(),
        payments=adapters.payments(),
        policy=adapters.billing_policy(),
        end=end_and_refund(adapters),
    )
    return UseCases(
        auth=auth_use_cases(adapters, erasure_hook=end_billing),
        chat=chat_use_cases(adapters),
        billing=billing_use_cases(adapters),
        check_readiness=check_readiness(adapters),
    )


def check_readiness(adapters: WebAdapters) -> CheckReadiness:
    return CheckReadiness(probe=adapters.probe())


def recorder_of(adapters: WebAdapters) -> Recorder:
    clock, new_id = adapters.clock(), adapters.new_id()
    return Recorder(
        unit_of_work=adapters.unit_of_work(),
        clock=clock,
        new_id=new_id,
        phone_digest=adapters.phone_digest(),
        older_digests=adapters.older_phone_digests(),
    )


def auth_use_cases(adapters: WebAdapters, *, erasure_hook: AccountErasureHook) -> Auth:
    unit_of_work, reader = adapters.unit_of_work(), adapters.reader()
    clock, new_id = adapters.clock(), adapters.new_id()
    read_phone_number, password_hasher = adapters.read_phone_number(), adapters.password_hasher()
    access_tokens, refresh_tokens = adapters.access_tokens(), adapters.refresh_tokens()
    otp_store, otp_policy = adapters.otp_store(), OtpPolicy()

    recorder = recorder_of(adapters)
    start_session = StartSession(
        access_tokens=access_tokens,
        refresh_tokens=refresh_tokens,
        recorder=recorder,
        new_id=new_id,
        token_lifetime=adapters.access_token_lifetime(),
        longest_session=adapters.longest_session(),
    )
    redeem_code = RedeemCode(otp_store=otp_store, recorder=recorder, policy=otp_policy)
    accept_password = AcceptPassword(is_common=adapters.is_common_password())
    count_password_try = CountPasswordTry(
        rate_limiter=adapters.rate_limiter(), unit_of_work=unit_of_work, recorder=recorder, clock=clock
    )
    show_profile = ShowProfile(reader=reader, allowances=adapters.allowances())
    return Auth(
        sign_up=SignUp(
            unit_of_work=unit_of_work,
            read_phone_number=read_phone_number,
            accept_password=accept_password,
            password_hasher=password_hasher,
            recorder=recorder,
            clock=clock,
            new_id=new_id,
        ),
        request_code=RequestCode(
            send_code=SendCode(
                otp_store=otp_store,
                otp_budget=adapters.otp_budget(),
                otp_delivery=adapters.otp_delivery(),
                policy=otp_policy,
                caps=adapters.otp_caps(),
            ),
            otp_store=otp_store,
            read_phone_number=read_phone_number,
            is_served=adapters.is_served(),
            unit_of_work=unit_of_work,
            recorder=recorder,
            clock=clock,
            new_code=adapters.new_code(),
            policy=otp_policy,
            fixed_codes=adapters.fixed_codes(),
        ),
        verify_code=VerifyCode(
            unit_of_work=unit_of_work,
            redeem_code=redeem_code,
            read_phone_number=read_phone_number,
            start_session=start_session,
            clock=clock,
            new_id=new_id,
        ),
        log_in=LogIn(
            unit_of_work=unit_of_work,
            read_phone_number=read_phone_number,
            password_hasher=password_hasher,
            count_try=count_password_try,
            start_session=start_session,
            recorder=recorder,
            clock=clock,
        ),
        reset_password=ResetPassword(
            unit_of_work=unit_of_work,
            otp_store=otp_store,
            redeem_code=redeem_code,
            read_phone_number=read_phone_number,
            accept_password=accept_password,
            password_hasher=password_hasher,
            recorder=recorder,
            clock=clock,
            new_id=new_id,
        ),
        change_password=ChangePassword(
            unit_of_work=unit_of_work,
            otp_store=otp_store,
            redeem_code=redeem_code,
            accept_password=accept_password,
            password_hasher=password_hasher,
            count_try=count_password_try,
            recorder=recorder,
            clock=clock,
        ),
        authenticate=Authenticate(access_tokens=access_tokens, reader=reader, clock=clock),
        authenticate_with_profile=AuthenticateWith(
            access_tokens, reader, clock, partial(reader.principal_with_profile, allowances=adapters.allowances())
        ),
        authenticate_with_list_version=AuthenticateWith(
            access_tokens, reader, clock, reader.principal_with_list_version
        ),
        authenticate_with_conversation=AuthenticateWith(
            access_tokens, reader, clock, reader.principal_with_conversation
        ),
        show_profile=show_profile,
        refresh_session=RefreshSession(
            unit_of_work=unit_of_work,
            access_tokens=access_tokens,
            refresh_tokens=refresh_tokens,
            recorder=recorder,
            clock=clock,
            token_lifetime=adapters.access_token_lifetime(),
            longest_session=adapters.longest_session(),
        ),
        log_out=LogOut(
            unit_of_work=unit_of_work,
            access_tokens=access_tokens,
            refresh_tokens=refresh_tokens,
            otp_store=otp_store,
            recorder=recorder,
            clock=clock,
        ),
        list_sessions=ListSessions(reader=reader),
        end_session=EndSession(unit_of_work=unit_of_work, recorder=recorder),
        change_profile=ChangeProfile(unit_of_work=unit_of_work, show_profile=show_profile, recorder=recorder),
        erase_account=EraseAccount(
            unit_of_work=unit_of_work,
            erasure_hook=erasure_hook,
            otp_store=otp_store,
            publisher=adapters.reply_publisher(),
            recorder=recorder,
        ),
        export_account=ExportAccount(export=adapters.export(), rate_limiter=adapters.rate_limiter(), recorder=recorder),
        limit_requests=LimitRequests(rate_limiter=adapters.rate_limiter(), limits=adapters.request_limits()),
    )


def chat_use_cases(adapters: WebAdapters) -> Chat:
    unit_of_work, reader = adapters.unit_of_work(), adapters.reader()
    clock, new_id = adapters.clock(), adapters.new_id()
    publisher, subscriber = adapters.reply_publisher(), adapters.reply_subscriber()

    policy = adapters.reply_policy()

    settle = SettleOverdue(
        unit_of_work=unit_of_work,
        fail_expired=FailExpiredReplies(unit_of_work=unit_of_work, publisher=publisher, policy=policy),
    )
    read_entry = ReadEntry(reader=reader, settle=settle)
    wait_for_reply = WaitForReply(read_entry=read_entry, subscriber=subscriber, clock=clock)
    return Chat(
        open_chatroom=OpenChatroom(
            unit_of_work=unit_of_work,
            clock=clock,
            new_id=new_id,
            limit=adapters.max_chatrooms(),
        ),
        list_chatrooms=ListChatrooms(reader=reader, room_list_cache=adapters.room_list_cache()),
        read_chatroom=ReadChatroom(reader=reader, settle=settle),
        send_message=SendMessage(
            unit_of_work=unit_of_work,
            worker_notifier=adapters.worker_notifier(),
            clock=clock,
            new_id=new_id,
            allowances=adapters.allowances(),
            policy=policy,
            settle=settle,
        ),
        change_chatroom=ChangeChatroom(unit_of_work=unit_of_work, clock=clock),
        remove_chatroom=RemoveChatroom(unit_of_work=unit_of_work, publisher=publisher),
        export_chatroom=ExportChatroom(
            export=adapters.room_export(), rate_limiter=adapters.rate_limiter(), clock=clock
        ),
        cancel_reply=CancelReply(unit_of_work=unit_of_work, publisher=publisher),
        ask_again=AskAgain(
            unit_of_work=unit_of_work,
            worker_notifier=adapters.worker_notifier(),
            clock=clock,
            new_id=new_id,
            allowances=adapters.allowances(),
            policy=policy,
            settle=settle,
        ),
        read_entry=read_entry,
        list_replies=ListReplies(reader=reader, settle=settle),
        give_feedback=GiveFeedback(store=adapters.feedback_store(), clock=clock),
        withdraw_feedback=WithdrawFeedback(store=adapters.feedback_store()),
        poll_messages=PollMessages(reader=reader, settle=settle, wait_for_reply=wait_for_reply, clock=clock),
        wait_for_reply=wait_for_reply,
        follow_reply=FollowReply(read_entry=read_entry, subscriber=subscriber),
        search=SearchChats(search=adapters.search(), rate_limiter=adapters.rate_limiter()),
    )


def billing_use_cases(adapters: WebAdapters) -> Billing:
    unit_of_work, payments = adapters.unit_of_work(), adapters.payments()
    sync = sync_subscription(adapters)
    subscribe = Subscribe(
        unit_of_work=unit_of_work,
        payments=payments,
        sync=sync,
        find_customer=find_customer(adapters),
        policy=adapters.billing_policy(),
        return_urls=adapters.return_urls(),
        clock=adapters.clock(),
        new_id=adapters.new_id(),
    )
    return Billing(
        show_plan_status=ShowPlanStatus(reader=adapters.reader(), allowances=adapters.allowances()),
        show_days=ShowDays(ledger=adapters.ledger()),
        subscribe=subscribe,
        subscribe_once=SubscribeOnce(unit_of_work=unit_of_work, subscribe=subscribe),
        receive_event=ReceivePaymentEvent(
            unit_of_work=unit_of_work,
            read_event=adapters.read_payment_event(),
            apply=apply_payment_event(adapters),
            retry=adapters.retry_events(),
        ),
        open_portal=OpenPortal(unit_of_work=unit_of_work, payments=payments, return_urls=adapters.return_urls()),
        set_renewal=SetRenewal(
            unit_of_work=unit_of_work,
            payments=payments,
            sync=sync,
            policy=adapters.billing_policy(),
            new_id=adapters.new_id(),
        ),
        sync_checkout=SyncCheckout(unit_of_work=unit_of_work, payments=payments, sync=sync, clock=adapters.clock()),
    )
