"""The stories of accounts, codes, passwords and sessions."""

from dependency_injector import containers, providers

from application.auth.audit import Recorder
from application.auth.erasure import EraseAccount, ExportAccount
from application.auth.logout import EndSession, ListSessions, LogOut
from application.auth.one_time_passwords import RedeemCode, RequestCode, SendCode, VerifyCode
from application.auth.passwords import AcceptPassword, ChangePassword, CountPasswordTry, LogIn, ResetPassword
from application.auth.profile import ChangeProfile, ShowOwnProfile, ShowProfile
from application.auth.rate_limits import LimitRequests
from application.auth.refresh import RefreshSession
from application.auth.sessions import Authenticate, StartSession
from application.auth.sign_up import SignUp
from application.use_cases import Auth
from domain.one_time_password import OtpPolicy


class AuthStories(containers.DeclarativeContainer):
    """Who people are."""

    outside = providers.DependenciesContainer()
    otp_policy = providers.Object(OtpPolicy())

    recorder = providers.Factory(
        Recorder,
        unit_of_work=outside.unit_of_work,
        clock=outside.clock,
        new_id=outside.new_id,
        phone_digest=outside.phone_digest,
    )
    start_session = providers.Factory(
        StartSession,
        access_tokens=outside.access_tokens,
        refresh_tokens=outside.refresh_tokens,
        recorder=recorder,
        new_id=outside.new_id,
        token_lifetime=outside.access_token_lifetime,
    )
    redeem_code = providers.Factory(RedeemCode, otp_store=outside.otp_store, recorder=recorder, policy=otp_policy)
    accept_password = providers.Factory(AcceptPassword, is_common=outside.is_common_password)
    count_password_try = providers.Factory(CountPasswordTry, rate_limiter=outside.rate_limiter, recorder=recorder)
    show_profile = providers.Factory(ShowProfile, reader=outside.reader, allowances=outside.allowances)
    auth = providers.Factory(
        Auth,
        sign_up=providers.Factory(
            SignUp,
            unit_of_work=outside.unit_of_work,
            read_phone_number=outside.read_phone_number,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            recorder=recorder,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        request_code=providers.Factory(
            RequestCode,
            send_code=providers.Factory(
                SendCode,
                otp_store=outside.otp_store,
                otp_budget=outside.otp_budget,
                otp_delivery=outside.otp_delivery,
                policy=otp_policy,
                caps=outside.otp_caps,
            ),
            otp_store=outside.otp_store,
            read_phone_number=outside.read_phone_number,
            is_served=outside.is_served,
            recorder=recorder,
            clock=outside.clock,
            new_code=outside.new_code,
            policy=otp_policy,
            fixed_codes=outside.fixed_codes,
        ),
        verify_code=providers.Factory(
            VerifyCode,
            unit_of_work=outside.unit_of_work,
            redeem_code=redeem_code,
            read_phone_number=outside.read_phone_number,
            start_session=start_session,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        log_in=providers.Factory(
            LogIn,
            unit_of_work=outside.unit_of_work,
            read_phone_number=outside.read_phone_number,
            password_hasher=outside.password_hasher,
            count_try=count_password_try,
            start_session=start_session,
            recorder=recorder,
            clock=outside.clock,
        ),
        reset_password=providers.Factory(
            ResetPassword,
            unit_of_work=outside.unit_of_work,
            redeem_code=redeem_code,
            read_phone_number=outside.read_phone_number,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            recorder=recorder,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        change_password=providers.Factory(
            ChangePassword,
            unit_of_work=outside.unit_of_work,
            redeem_code=redeem_code,
            accept_password=accept_password,
            password_hasher=outside.password_hasher,
            count_try=count_password_try,
            recorder=recorder,
            clock=outside.clock,
        ),
        authenticate=providers.Factory(
            Authenticate,
            access_tokens=outside.access_tokens,
            reader=outside.reader,
            clock=outside.clock,
        ),
        show_profile=show_profile,
        show_own_profile=providers.Factory(
            ShowOwnProfile,
            access_tokens=outside.access_tokens,
            reader=outside.reader,
            clock=outside.clock,
            allowances=outside.allowances,
        ),
        refresh_session=providers.Factory(
            RefreshSession,
            unit_of_work=outside.unit_of_work,
            access_tokens=outside.access_tokens,
            refresh_tokens=outside.refresh_tokens,
            recorder=recorder,
            clock=outside.clock,
            token_lifetime=outside.access_token_lifetime,
        ),
        log_out=providers.Factory(LogOut, unit_of_work=outside.unit_of_work, recorder=recorder),
        list_sessions=providers.Factory(ListSessions, reader=outside.reader),
        end_session=providers.Factory(EndSession, unit_of_work=outside.unit_of_work, recorder=recorder),
        change_profile=providers.Factory(
            ChangeProfile, unit_of_work=outside.unit_of_work, show_profile=show_profile, recorder=recorder
        ),
        erase_account=providers.Factory(
            EraseAccount,
            unit_of_work=outside.unit_of_work,
            before_erasure=outside.before_erasure,
            room_list_cache=outside.room_list_cache,
            publisher=outside.reply_publisher,
            recorder=recorder,
        ),
        export_account=providers.Factory(
            ExportAccount, export=outside.export, rate_limiter=outside.rate_limiter, recorder=recorder
        ),
        limit_requests=providers.Factory(
            LimitRequests, rate_limiter=outside.rate_limiter, limits=outside.request_limits
        ),
    )
