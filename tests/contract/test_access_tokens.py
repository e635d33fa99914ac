"""The contract of access tokens: what was issued is read, anything else is refused in one of two ways."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.jwt_access_tokens import MAX_LENGTH, JwtAccessTokens
from application.ports.access_tokens import AccessTokens, TokenClaims
from domain.accounts import LoginMethod, Session, SessionId, UserId
from domain.errors import TokenExpired, TokenInvalid
from tests.contract.world import shown

SECRET = b"s" * 32
NOW = datetime(2026, 5, 17, 12, 0, 0, 123_456, tzinfo=UTC)
SESSION = Session(SessionId(UUID(int=7)), UserId(UUID(int=5)), LoginMethod.OTP, NOW, NOW + timedelta(hours=1))

JWT_TOKENS = JwtAccessTokens(SECRET)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims as they are issued, changed; a change to ``...`` takes one away."""
    issued = jwt.decode(
        JWT_TOKENS.issue(SESSION, at=NOW), SECRET, ["HS256"], options={"verify_signature": False, "verify_exp": False}
    )
    return {name: value for name, value in {**issued, **changes}.items() if value is not ...}


def signed(key: bytes = SECRET, /, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, "HS256")


def assembled(header: object, payload: object, signature: bytes = b"x" * 32) -> str:
    """A token put together by hand, its signature invented."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def altered(token: str, part: int) -> str:
    """The token with a bit of one part changed."""
    parts = token.split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    return ".".join(parts)


FORGED: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: jwt.encode(claims(), "", "none"),
    "no algorithm, signed": lambda: assembled({"alg": "none", "typ": "JWT"}, claims()),
    "no algorithm, no signature": lambda: assembled({"alg": "none"}, claims(), b""),
    "None with a capital": lambda: assembled({"alg": "None"}, claims()),
    "another algorithm, our key": lambda: jwt.encode(claims(), SECRET * 2, "HS512"),
    "an asymmetric algorithm": lambda: assembled({"alg": "RS256"}, claims()),
    "an unknown algorithm": lambda: assembled({"alg": "ROT13"}, claims()),
    "another key": lambda: signed(b"x" * 32),
    "no key id, another key": lambda: jwt.encode(claims(), b"x" * 32, "HS256", headers={"kid": "../../dev/null"}),
    "header altered": lambda: altered(signed(), 0),
    "payload altered": lambda: altered(signed(), 1),
    "signature altered": lambda: altered(signed(), 2),
    "signature cut off": lambda: signed().rpartition(".")[0] + ".",
    "expired and forged": lambda: signed(b"x" * 32, exp=NOW - timedelta(days=1)),
    "wrong audience": lambda: signed(aud="another"),
    "wrong audiences": lambda: signed(aud=["some", "others"]),
    "audience of another kind": lambda: signed(aud=1),
    "wrong issuer": lambda: signed(iss="another"),
    "user that is none": lambda: signed(sub="root"),
    "user of another kind": lambda: signed(sub=5),
    "session that is none": lambda: signed(sid="7"),
    "session of another kind": lambda: signed(sid=7),
    "session a list": lambda: signed(sid=[str(SESSION.id)]),
    "expiry a text": lambda: signed(exp="tomorrow"),
    "expiry beyond time": lambda: signed(exp=10**30),
    "expiry endless": lambda: signed(exp=float("inf")),
    "expiry no number": lambda: signed(exp=float("nan")),
    "not valid before a date to come": lambda: signed(nbf=datetime.now(UTC) + timedelta(days=1)),
    "header not JSON": lambda: assembled(b"{", claims()),
    "header not an object": lambda: assembled([1], claims()),
    "payload not an object": lambda: jwt.PyJWS().encode(b"[1]", SECRET, "HS256"),
    "payload not JSON": lambda: jwt.PyJWS().encode(b"{", SECRET, "HS256"),
    "payload not text": lambda: jwt.PyJWS().encode(b"\xff\xfe", SECRET, "HS256"),
    "header nested deeply": lambda: assembled(b"[" * 1_300, {}),
    "critical extension": lambda: jwt.encode(claims(), SECRET, "HS256", headers={"crit": ["x"], "x": 1}),
    "encrypted form": lambda: "eyJhbGciOiJkaXIifQ..a.b.c",
}  # fmt: skip

REQUIRED = ["exp", "iat", "sub", "jti", "aud", "iss", "sid"]
GARBAGE = [
    "", " ", ".", "..", "...", "a.b.c", "null", "Bearer x", "\x00", "\n", "é.é.é", "नमस्ते", "👩🏽‍🚀", "\ud800", "=.=.=",
    "a" * MAX_LENGTH, "a" * 1_000_000, "." * 1_000_000, "eyJ" * 400,
]  # fmt: skip


class AccessTokensContract:
    def test_what_was_issued_is_read(self, tokens: AccessTokens) -> None:
        token = tokens.issue(SESSION, at=NOW)
        for at in (NOW, NOW + timedelta(minutes=59)):
            assert tokens.read(token, at=at) == TokenClaims(SESSION.user_id, SESSION.id)

    def test_it_expires_with_the_session(self, tokens: AccessTokens) -> None:
        token = tokens.issue(SESSION, at=NOW)
        for late in (timedelta(minutes=1), timedelta(days=365)):
            with pytest.raises(TokenExpired):
                tokens.read(token, at=SESSION.expires_at + late)

    def test_one_that_was_good_a_moment_ago_expires_all_the_same(self, tokens: AccessTokens) -> None:
        token = tokens.issue(SESSION, at=NOW)
        for _ in range(2):
            assert tokens.read(token, at=NOW).session_id == SESSION.id
            with pytest.raises(TokenExpired):
                tokens.read(token, at=SESSION.expires_at + timedelta(minutes=1))

    def test_two_for_one_session_differ(self, tokens: AccessTokens) -> None:
        one, other = tokens.issue(SESSION, at=NOW), tokens.issue(SESSION, at=NOW)
        assert one != other
        assert tokens.read(one, at=NOW) == tokens.read(other, at=NOW)

    def test_a_machine_whose_clock_is_behind_reads_it_too(self, tokens: AccessTokens) -> None:
        token = tokens.issue(SESSION, at=NOW)
        assert tokens.read(token, at=NOW - timedelta(seconds=30)).session_id == SESSION.id

    @pytest.mark.parametrize("text", GARBAGE, ids=shown)
    def test_garbage_is_refused(self, tokens: AccessTokens, text: str) -> None:
        with pytest.raises(TokenInvalid):
            tokens.read(text, at=NOW)


class TestJwtAccessTokens(AccessTokensContract):
    @pytest.fixture
    def tokens(self) -> AccessTokens:
        return JWT_TOKENS

    @pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
    def test_a_forged_one_is_refused(self, tokens: AccessTokens, forge: Callable[[], str]) -> None:
        with pytest.raises(TokenInvalid):
            tokens.read(forge(), at=NOW)

    @pytest.mark.parametrize("claim", REQUIRED)
    def test_one_without_a_claim_is_refused(self, tokens: AccessTokens, claim: str) -> None:
        with pytest.raises(TokenInvalid):
            tokens.read(signed(**{claim: ...}), at=NOW)

    @pytest.mark.parametrize("claim", ["exp", "sub", "sid", "aud"])
    def test_one_with_an_empty_claim_is_refused(self, tokens: AccessTokens, claim: str) -> None:
        with pytest.raises(TokenInvalid):
            tokens.read(signed(**{claim: None}), at=NOW)

    def test_the_claims_that_the_forgeries_start_from_are_good(self, tokens: AccessTokens) -> None:
        assert tokens.read(signed(), at=NOW) == TokenClaims(SESSION.user_id, SESSION.id)

    def test_it_says_nothing_but_who_and_until_when(self) -> None:
        token = JWT_TOKENS.issue(SESSION, at=NOW)
        assert set(claims()) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}
        assert set(jwt.get_unverified_header(token)) == {"alg", "typ", "kid"}
        assert len(token) < MAX_LENGTH

    def test_of_another_secret_it_is_refused(self) -> None:
        token = JwtAccessTokens(b"t" * 32).issue(SESSION, at=NOW)
        with pytest.raises(TokenInvalid):
            JWT_TOKENS.read(token, at=NOW)

    def test_a_short_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            JwtAccessTokens(b"s" * 31)


@given(st.text(alphabet=st.characters(), max_size=100) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_any_text_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(TokenInvalid):
        JWT_TOKENS.read(text, at=NOW)


@given(st.dictionaries(st.sampled_from(["exp", "sub", "sid", "aud", "iss", "iat", "jti"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
), min_size=1, max_size=3))  # fmt: skip
def test_claims_of_any_kind_are_read_or_refused(changes: dict[str, Any]) -> None:
    payload = json.dumps({**claims(), **changes}).encode()
    if len(payload) > 1_000:
        return
    token = jwt.PyJWS().encode(payload, SECRET, "HS256")
    try:
        read = JWT_TOKENS.read(token, at=NOW)
    except (TokenInvalid, TokenExpired):
        return
    assert isinstance(read.user_id, UUID)
    assert isinstance(read.session_id, UUID)
