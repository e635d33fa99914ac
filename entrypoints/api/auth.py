"""/auth: signing up, one-time passwords, passwords."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.auth.one_time_passwords import SentCode
from application.auth.sessions import LoggedIn
from application.use_cases import Auth
from domain.accounts import NAME_MAX_LENGTH, PASSWORD_LENGTH, Principal
from domain.one_time_password import Purpose
from entrypoints.api.account import AccountSchema, account_json
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.languages import language
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import ACCEPT_LANGUAGE, MessageOnlySchema, Schema, described
from entrypoints.api.sessions import SessionTokensSchema, tokens_json


def _mobile_number() -> ma.fields.String:
    return ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, 32),
        metadata=described("In any usual form; stored as E.164", example="1234567890"),
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
    mobile_number = _mobile_number()
    name = ma.fields.String(allow_none=True, validate=ma.validate.Length(1, NAME_MAX_LENGTH))
    email = ma.fields.Email(allow_none=True, validate=ma.validate.Length(max=254))
    password = _new_password(required=False)


class MobileNumberSchema(Schema):
    mobile_number = _mobile_number()


class VerifyOtpSchema(Schema):
    mobile_number = _mobile_number()
    otp = _otp(required=True)


class LogInSchema(Schema):
    mobile_number = _mobile_number()
    password = ma.fields.String(required=True, validate=ma.validate.Length(1, 1000))


class ResetPasswordSchema(Schema):
    mobile_number = _mobile_number()
    otp = _otp(required=True)
    new_password = _new_password(required=True)


class ChangePasswordSchema(Schema):
    new_password = _new_password(required=True)
    current_password = ma.fields.String(validate=ma.validate.Length(1, 1000))
    otp = _otp(required=False)


class SignedUpSchema(Schema):
    user = ma.fields.Nested(AccountSchema, required=True)
    message = ma.fields.String(required=True)


class SentCodeSchema(Schema):
    message = ma.fields.String(required=True)
    expires_in = ma.fields.Integer(required=True, metadata=described("Seconds"))
    resend_in = ma.fields.Integer(required=True, metadata=described("Seconds until another can be sent"))
    otp = ma.fields.String(metadata=described("Only where OTP_DELIVERY is `response`, never in production"))


class LoggedInSchema(SessionTokensSchema):
    user = ma.fields.Nested(AccountSchema, required=True)


def auth_blueprint(auth: Auth, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Auth", __name__, url_prefix="/auth", description="Signing up, logging in, passwords")

    @blp.route("/signup", methods=["POST"])
    @blp.may_give("phone_taken")
    @blp.arguments(SignUpSchema())
    @blp.response(201, SignedUpSchema)
    def sign_up(body: Body) -> Response:
        """Register a mobile number.

        This is optional: a number that is verified for the first time gets an account. 409 `phone_taken` when the
        number has an account. A password given here takes effect once the number is verified within 15 minutes.
        """
        user = auth.sign_up(
            mobile_number=body["mobile_number"],
            name=body.get("name"),
            email=body.get("email"),
            password=body.get("password"),
            origin=origin(),
        )
        return json_response({"user": account_json(user), "message": "Signed up. Verify the number to log in."}, 201)

    @blp.route("/send-otp", methods=["POST"])
    @blp.may_give("otp_resend_too_soon", "otp_sends_exhausted")
    @blp.doc(parameters=[ACCEPT_LANGUAGE])
    @blp.arguments(MobileNumberSchema())
    @blp.response(200, SentCodeSchema)
    def send_otp(body: Body) -> Response:
        """Send a one-time password for logging in.

        The text message is in the language of `Accept-Language`. The response is the same for numbers with and without
        an account. 429 `otp_resend_too_soon` within 30 seconds of the last one, 429 `otp_sends_exhausted` after too
        many in a day. 503 when it could not be sent: try again.
        """
        return _sent_response(
            auth.request_code(
                mobile_number=body["mobile_number"], purpose=Purpose.LOGIN, language=language(), origin=origin()
            )
        )

    @blp.route("/forgot-password", methods=["POST"])
    @blp.may_give("otp_resend_too_soon", "otp_sends_exhausted")
    @blp.doc(parameters=[ACCEPT_LANGUAGE])
    @blp.arguments(MobileNumberSchema())
    @blp.response(200, SentCodeSchema)
    def forgot_password(body: Body) -> Response:
        """Send a one-time password for setting a new password.

        The text message is in the language of `Accept-Language`. Use the code with `/auth/reset-password`, or log in
        with it (`/auth/verify-otp`) and call `/auth/change-password`.
        """
        return _sent_response(
            auth.request_code(
                mobile_number=body["mobile_number"],
                purpose=Purpose.PASSWORD_RESET,
                language=language(),
                origin=origin(),
            )
        )

    @blp.route("/verify-otp", methods=["POST"])
    @blp.may_give("otp_invalid", "otp_locked", "account_locked")
    @blp.arguments(VerifyOtpSchema())
    @blp.response(200, LoggedInSchema)
    def verify_otp(body: Body) -> Response:
        """Log in with a one-time password.

        401 `otp_invalid` with `attemptsLeft`. After five wrong codes 429 `otp_locked`, and the code is void. After
        twenty wrong codes in a day, no further code is accepted for the number.
        """
        return _logged_in_response(
            auth.verify_code(mobile_number=body["mobile_number"], code=body["otp"], origin=origin())
        )

    @blp.route("/login", methods=["POST"])
    @blp.may_give("credentials_invalid", "account_locked")
    @blp.arguments(LogInSchema())
    @blp.response(200, LoggedInSchema)
    def log_in(body: Body) -> Response:
        """Log in with a password.

        401 `credentials_invalid` does not tell what was wrong. 429 `rate_limited` after ten attempts in 15 minutes.
        """
        return _logged_in_response(
            auth.log_in(mobile_number=body["mobile_number"], password=body["password"], origin=origin())
        )

    @blp.route("/reset-password", methods=["POST"])
    @blp.may_give("otp_invalid", "otp_locked", "account_locked")
    @blp.arguments(ResetPasswordSchema())
    @blp.response(200, MessageOnlySchema)
    def reset_password(body: Body) -> Response:
        """Set a new password with a one-time password.

        The code is that of `/auth/forgot-password`. Ends every session of the account: log in afterwards.
        """
        auth.reset_password(
            mobile_number=body["mobile_number"],
            code=body["otp"],
            new_password=body["new_password"],
            origin=origin(),
        )
        return json_response({"message": "The password is set. Log in with it."})

    @blp.route("/change-password", methods=["POST"])
    @blp.may_give("credentials_invalid", "otp_invalid", "reauthentication_needed", "otp_locked")
    @authenticated
    @blp.arguments(ChangePasswordSchema())
    @blp.response(200, MessageOnlySchema)
    def change_password(principal: Principal, body: Body) -> Response:
        """Set a new password while logged in.

        Give `currentPassword`, or the `otp` of `/auth/forgot-password`. Neither is needed within ten minutes of a login
        by one-time password; 403 `reauthentication_needed` otherwise. Ends the other sessions of the account.
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


def _sent_response(sent: SentCode) -> Response:
    body: dict[str, Any] = {
        "message": "A one-time password is on its way.",
        "expiresIn": int(sent.expires_in.total_seconds()),
        "resendIn": int(sent.resend_in.total_seconds()),
    }
    if sent.shown is not None:
        body["otp"] = sent.shown
    return json_response(body)


def _logged_in_response(login: LoggedIn) -> Response:
    return json_response({**tokens_json(login), "user": account_json(login.user)})
