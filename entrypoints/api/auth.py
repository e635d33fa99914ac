"""/auth: signing up, one-time passwords, passwords."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.auth.one_time_passwords import SentCode
from application.auth.sessions import LoggedIn
from application.use_cases import Auth
from domain.accounts import NAME_MAX_LENGTH, PASSWORD_LENGTH, Principal, User
from domain.one_time_password import Purpose
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import MessageOnlySchema, Schema, SessionTokensSchema, described, tokens_json
from entrypoints.api.security import Guard

Body = dict[str, Any]


def _mobile_number() -> ma.fields.String:
    return ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, 32),
        metadata=described("In any usual form; kept as E.164", example="1234567890"),
    )


def _new_password(*, required: bool) -> ma.fields.String:
    return ma.fields.String(
        required=required,
        validate=ma.validate.Length(PASSWORD_LENGTH.start, PASSWORD_LENGTH.stop - 1),
        metadata=described(f"{PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters"),
    )


def _otp(*, required: bool) -> ma.fields.String:
    return ma.fields.String(
        required=required, validate=ma.validate.Length(1, 16), metadata=described("The code", example="123456")
    )


class SignUpSchema(Schema):
    """A new account."""

    mobile_number = _mobile_number()
    name = ma.fields.String(allow_none=True, validate=ma.validate.Length(1, NAME_MAX_LENGTH))
    email = ma.fields.Email(allow_none=True, validate=ma.validate.Length(max=254))
    password = _new_password(required=False)


class MobileNumberSchema(Schema):
    """A mobile number."""

    mobile_number = _mobile_number()


class VerifyOtpSchema(Schema):
    """A mobile number and the code that was sent to it."""

    mobile_number = _mobile_number()
    otp = _otp(required=True)


class LogInSchema(Schema):
    """A mobile number and its password."""

    mobile_number = _mobile_number()
    password = ma.fields.String(required=True, validate=ma.validate.Length(1, 1000))


class ResetPasswordSchema(Schema):
    """A password-reset code and the password to set."""

    mobile_number = _mobile_number()
    otp = _otp(required=True)
    new_password = _new_password(required=True)


class ChangePasswordSchema(Schema):
    """The password to set, and proof unless the login by one-time password is at most ten minutes old."""

    new_password = _new_password(required=True)
    current_password = ma.fields.String(validate=ma.validate.Length(1, 1000))
    otp = _otp(required=False)


class AccountSchema(Schema):
    """An account."""

    id = ma.fields.UUID(required=True)
    mobile_number = ma.fields.String(required=True, metadata=described("E.164"))
    name = ma.fields.String(required=True, allow_none=True)
    email = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.AwareDateTime(required=True)


class SignedUpSchema(Schema):
    """A new account."""

    user = ma.fields.Nested(AccountSchema, required=True)
    message = ma.fields.String(required=True)


class SentCodeSchema(Schema):
    """A code is on its way."""

    message = ma.fields.String(required=True)
    expires_in = ma.fields.Integer(required=True, metadata=described("Seconds"))
    resend_in = ma.fields.Integer(required=True, metadata=described("Seconds until another can be sent"))
    otp = ma.fields.String(metadata=described("Only where OTP_DELIVERY is `response`, never in production"))


class LoggedInSchema(SessionTokensSchema):
    """A login."""

    user = ma.fields.Nested(AccountSchema, required=True)


def auth_blueprint(auth: Auth, guard: Guard) -> JsonBlueprint:
    """Everything below /auth."""
    blp = JsonBlueprint("auth", __name__, url_prefix="/auth", description="Signing up and logging in")

    @blp.route("/signup", methods=["POST"])
    @blp.arguments(SignUpSchema())
    @blp.response(201, SignedUpSchema)
    def sign_up(body: Body) -> Response:
        """Register a mobile number.

        Not needed: a number that is verified for the first time becomes an account. 409 `phone_taken` when the number
        has an account. A password given here counts once the number has been verified within 15 minutes.
        """
        user = auth.sign_up(
            mobile_number=body["mobile_number"],
            name=body.get("name"),
            email=body.get("email"),
            password=body.get("password"),
            origin=origin(),
        )
        return json_response({"user": _account(user), "message": "Signed up. Verify the number to log in."}, 201)

    @blp.route("/send-otp", methods=["POST"])
    @blp.arguments(MobileNumberSchema())
    @blp.response(200, SentCodeSchema)
    def send_otp(body: Body) -> Response:
        """Send a one-time password for logging in.

        The same answer for numbers with and without an account. 429 `otp_resend_too_soon` within 30 seconds of the
        last one, 429 `otp_sends_exhausted` after too many a day. 503 when it could not be sent: ask again.
        """
        return _sent(auth.request_code(mobile_number=body["mobile_number"], purpose=Purpose.LOGIN, origin=origin()))

    @blp.route("/forgot-password", methods=["POST"])
    @blp.arguments(MobileNumberSchema())
    @blp.response(200, SentCodeSchema)
    def forgot_password(body: Body) -> Response:
        """Send a one-time password for setting a new password.

        Use it with `/auth/reset-password`, or log in with it (`/auth/verify-otp`) and call `/auth/change-password`.
        """
        return _sent(
            auth.request_code(mobile_number=body["mobile_number"], purpose=Purpose.PASSWORD_RESET, origin=origin())
        )

    @blp.route("/verify-otp", methods=["POST"])
    @blp.arguments(VerifyOtpSchema())
    @blp.response(200, LoggedInSchema)
    def verify_otp(body: Body) -> Response:
        """Log in with a one-time password.

        401 `otp_invalid` with `attemptsLeft`; after five wrong codes 429 `otp_locked`, and the code is void. After
        twenty wrong codes a day no code of the number is taken any more.
        """
        return _logged_in(auth.verify_code(mobile_number=body["mobile_number"], code=body["otp"], origin=origin()))

    @blp.route("/login", methods=["POST"])
    @blp.arguments(LogInSchema())
    @blp.response(200, LoggedInSchema)
    def log_in(body: Body) -> Response:
        """Log in with a password.

        401 `credentials_invalid`, whatever was wrong; 429 `rate_limited` after ten tries in a quarter of an hour.
        """
        return _logged_in(auth.log_in(mobile_number=body["mobile_number"], password=body["password"], origin=origin()))

    @blp.route("/reset-password", methods=["POST"])
    @blp.arguments(ResetPasswordSchema())
    @blp.response(200, MessageOnlySchema)
    def reset_password(body: Body) -> Response:
        """Set a password with the code of `/auth/forgot-password`. Ends every session of the account."""
        auth.reset_password(
            mobile_number=body["mobile_number"],
            code=body["otp"],
            new_password=body["new_password"],
            origin=origin(),
        )
        return json_response({"message": "The password is set. Log in with it."})

    @blp.route("/change-password", methods=["POST"])
    @guard
    @blp.arguments(ChangePasswordSchema())
    @blp.response(200, MessageOnlySchema)
    def change_password(principal: Principal, body: Body) -> Response:
        """Set a password while logged in. Ends the account's other sessions.

        Needs `currentPassword`, or the `otp` of `/auth/forgot-password`, or neither within ten minutes of a login by
        one-time password; 403 `reauthentication_needed` otherwise.
        """
        auth.change_password(
            principal=principal,
            new_password=body["new_password"],
            current_password=body.get("current_password"),
            code=body.get("otp"),
            origin=origin(),
        )
        return json_response({"message": "The password is set. Other sessions have ended."})

    return blp


def _account(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "mobileNumber": user.phone.e164,
        "name": user.name,
        "email": user.email,
        "createdAt": user.created_at,
    }


def _sent(sent: SentCode) -> Response:
    answer: dict[str, Any] = {
        "message": "A one-time password is on its way.",
        "expiresIn": int(sent.expires_in.total_seconds()),
        "resendIn": int(sent.resend_in.total_seconds()),
    }
    if sent.shown is not None:
        answer["otp"] = sent.shown
    return json_response(answer)


def _logged_in(login: LoggedIn) -> Response:
    return json_response({**tokens_json(login), "user": _account(login.user)})
