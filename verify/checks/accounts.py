"""Signing up, codes, tokens and sessions, and whose things are whose."""

import base64
import json

from verify import bodies
from verify.checks import Check, check
from verify.checks.service import UNKNOWN_ID
from verify.outcomes import expect
from verify.world import User, World

DEVICES = 5


@check("sign-up", plain=True)
def sign_up(world: World) -> None:
    """A mobile number signs up once."""
    number, _ = world.sign_up()
    again = world.post("/auth/signup", {"mobileNumber": number})
    again.must_be_refused()
    # So that there is a user who can be erased.
    world.logged_in(world.log_in(number, world.code(number)), number)


@check("login", plain=True)
def login(world: World) -> None:
    """A code that was sent to a number gives a JWT, which opens the account of that number."""
    user = world.new_user()
    parts = user.token.split(".")
    expect(len(parts) == 3 and all(parts), "the token is no JWT: it has not three parts")
    expect("alg" in _decoded(parts[0]), "the token is no JWT: its header names no algorithm")
    expect("exp" in _decoded(parts[1]), "the JWT never expires: it lacks exp")
    shown = bodies.text(user.get("/user/me").must_be(200), "mobileNumber", "mobile_number", "mobile")
    expect(shown == user.number, "GET /user/me shows another number than the one that logged in")


@check("wrong-code", plain=True)
def wrong_code(world: World) -> None:
    """A wrong code is refused, and the right one works afterwards."""
    number, _ = world.sign_up()
    code = world.code(number)
    wrong = "".join(str((int(digit) + 1) % 10) for digit in code)
    world.log_in(number, wrong).must_be_refused()
    world.logged_in(world.log_in(number, code), number)


@check("code-once", plain=True)
def code_once(world: World) -> None:
    """A code works once: of several devices that use it at once, one is logged in."""
    number, _ = world.sign_up()
    code = world.code(number)
    # A client that lost the answer may get it again; another device may not.
    answers = world.at_once(DEVICES, lambda device: world.log_in(number, code, device=f"verify-device-{device}"))
    accepted = [answer for answer in answers if answer.status < 300]
    for answer in accepted:
        world.logged_in(answer, number)
    expect(len(accepted) == 1, f"of {DEVICES} devices that used one code at once, {len(accepted)} were logged in")
    for answer in answers:
        expect(answer.status < 500, f"{answer.line} answers {answer.status}")
    world.log_in(number, code, device="verify-late-device").must_be_refused()


@check("token-required", plain=True)
def token_required(world: World) -> None:
    """Without a token, and with one that is forged, unsigned or broken, nothing of a user is seen."""
    user = world.user()
    header, claims, signature = [*user.token.split("."), "", ""][:3]
    unsigned = _encoded({"alg": "none", "typ": "JWT"})
    forged = signature[:-6] + ("AAAAAA" if not signature.endswith("AAAAAA") else "BBBBBB")
    for path in ("/user/me", "/chatroom", "/subscription/status"):
        world.get(path).must_be(401)
    for token in (f"{header}.{claims}.{forged}", f"{unsigned}.{claims}.", f"{unsigned}.{claims}.{signature}", "x"):
        world.masker.hide(token)
        world.get("/user/me", token=token).must_be(401, 403)
    user.get("/user/me").must_be(200)


@check("refresh")
def refresh(world: World) -> None:
    """A refresh token gives new tokens, and one that was replaced twice is refused and ends the session."""
    user = world.new_user(with_password=True)
    expect(user.refresh_token, "the login gives no refreshToken")
    second = _refreshed(world, user.refresh_token)
    expect(second.refresh_token != user.refresh_token, "the refresh token is the same as before")
    second.get("/user/me").must_be(200)
    third = _refreshed(world, second.refresh_token)
    world.post("/auth/refresh", {"refreshToken": user.refresh_token}).must_be(401)
    third.get("/user/me").must_be(401)


@check("logout")
def logout(world: World) -> None:
    """Logging out ends the session at once: neither of its tokens is accepted."""
    user = world.new_user(with_password=True)
    user.post("/auth/logout").must_succeed()
    user.get("/user/me").must_be(401)
    if user.refresh_token:
        world.post("/auth/refresh", {"refreshToken": user.refresh_token}).must_be(401)


@check("ownership", plain=True)
def ownership(world: World) -> None:
    """Another user's chatroom is not found, as if there were none: 404, and neither 403 nor 200."""
    owner = world.user()
    stranger = world.another_user(owner)
    room = owner.open_room("Verify: ownership")
    stranger.get(f"/chatroom/{room}").must_be(404)
    stranger.say(room, "Is there a chatroom?").must_be(404)
    stranger.get(f"/chatroom/{UNKNOWN_ID}").must_be(404)
    listed = [bodies.id_of(one) for one in bodies.entries(stranger.get("/chatroom").must_be(200), "chatrooms")]
    expect(room not in listed, "GET /chatroom lists another user's chatroom")
    if not world.options.plain:
        stranger.get(f"/chatroom/{room}/messages").must_be(404)
        stranger.send("PATCH", f"/chatroom/{room}", body={"name": "Taken"}).must_be(404)
        stranger.send("DELETE", f"/chatroom/{room}").must_be(404)
    shown = owner.get(f"/chatroom/{room}").must_be(200)
    expect(bodies.text(shown, "name") == "Verify: ownership", "a stranger has changed the chatroom")
    expect(not owner.entries(room), "a stranger's message is in the chatroom")


@check("message-ownership")
def message_ownership(world: World) -> None:
    """Another user's message, reply and stream are not found, and cannot be cancelled or asked for again."""
    owner = world.user(prompts=1)
    stranger = world.another_user(owner)
    room = owner.open_room("Verify: message-ownership")
    body = owner.say(room, "What is mine?", key="verify-ownership").must_be(201, 202).json()
    for entry in (body["message"]["id"], body["reply"]["id"]):
        stranger.get(f"/message/{entry}").must_be(404)
        stranger.get(f"/message/{entry}/stream").must_be(404)
        for action in ("cancel", "retry", "regenerate"):
            stranger.post(f"/message/{entry}/{action}").must_be(404)


@check("password-reset")
def password_reset(world: World) -> None:
    """A forgotten password is replaced with a code, and the old one does not work any more."""
    user = world.new_user(with_password=True)
    code = world.code(user.number, "/auth/forgot-password")
    old, user.password = user.password, world.new_password()
    number = {"mobileNumber": user.number}
    world.post("/auth/reset-password", {**number, "otp": code, "newPassword": user.password}).must_succeed()
    world.post("/auth/login", {**number, "password": old}).must_be(401)
    world.logged_in(world.post("/auth/login", {**number, "password": user.password}), user.number)
    user.get("/user/me").must_be(401)


@check("erasure")
def erasure(world: World) -> None:
    """An account that is erased is gone: its token opens nothing, and its refresh token gives none."""
    user = world.new_user()
    user.send("DELETE", "/user/me").must_succeed()
    world.forget(user)
    user.get("/user/me").must_be(401)
    if user.refresh_token:
        world.post("/auth/refresh", {"refreshToken": user.refresh_token}).must_be(401)


def _refreshed(world: World, token: str) -> User:
    answer = world.post("/auth/refresh", {"refreshToken": token}).must_be(200)
    access, new = bodies.text(answer, "token"), bodies.text(answer, "refreshToken")
    world.masker.hide(access, new)
    return User(world.http, access, refresh_token=new)


def _decoded(part: str) -> dict[str, object]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _encoded(value: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


CHECKS: tuple[Check, ...] = (
    sign_up, login, wrong_code, code_once, token_required, refresh, logout, ownership, message_ownership,
    password_reset, erasure,
)  # fmt: skip
