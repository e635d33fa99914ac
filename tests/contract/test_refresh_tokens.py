"""The contract of refresh tokens as clients hold them, and the rotation of the keys of access tokens."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.hmac_phone_digest import HmacPhoneDigest
from adapters.crypto.hmac_refresh_tokens import HmacRefreshTokens
from adapters.crypto.jwt_access_tokens import JwtAccessTokens
from adapters.memory.doubles import CountingRefreshTokens
from application.ports.refresh_tokens import RefreshTokens
from domain.accounts import LoginMethod, PhoneNumber, Session, SessionId, UserId
from domain.errors import TokenExpired, TokenInvalid
from tests.contract.world import shown

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
SESSION = Session(SessionId(UUID(int=7)), UserId(UUID(int=5)), LoginMethod.OTP, NOW, NOW + timedelta(days=30))
OLD, NEW, OTHER = (letter * 32 for letter in (b"o", b"n", b"x"))


class RefreshTokensContract:
    def test_each_first_one_is_another(self, tokens: RefreshTokens) -> None:
        assert len({tokens.first() for _ in range(100)}) == 100

    def test_the_one_after_is_always_the_same_and_another(self, tokens: RefreshTokens) -> None:
        chain = [tokens.first()]
        for _ in range(10):
            chain.append(tokens.successors(chain[-1])[0])
            assert chain[-1] == tokens.successors(chain[-2])[0]
        assert len(set(chain)) == len({tokens.digest(token) for token in chain}) == 11

    def test_two_chains_do_not_meet(self, tokens: RefreshTokens) -> None:
        one, other = tokens.first(), tokens.first()
        assert set(tokens.successors(one)).isdisjoint(tokens.successors(other))

    @pytest.mark.parametrize("text", ["", "x", "\x00", "\ud800", "é", "1.2.3", "x" * 100_000], ids=shown)
    def test_any_text_has_a_digest(self, tokens: RefreshTokens, text: str) -> None:
        assert tokens.digest(text) == tokens.digest(text)
        tokens.successors(text)


class TestCountingRefreshTokens(RefreshTokensContract):
    @pytest.fixture
    def tokens(self) -> RefreshTokens:
        return CountingRefreshTokens()


class TestHmacRefreshTokens(RefreshTokensContract):
    @pytest.fixture
    def tokens(self) -> RefreshTokens:
        return HmacRefreshTokens(b"k" * 32)

    def test_without_the_key_the_next_is_unknown(self, tokens: RefreshTokens) -> None:
        token = tokens.first()
        assert HmacRefreshTokens(b"x" * 32).successors(token) != tokens.successors(token)

    def test_what_an_older_key_has_given_is_known(self) -> None:
        token = HmacRefreshTokens(OLD).first()
        [by_old], [by_new] = HmacRefreshTokens(OLD).successors(token), HmacRefreshTokens(NEW).successors(token)
        assert HmacRefreshTokens(NEW, OLD).successors(token) == [by_new, by_old]

    def test_a_digest_tells_nothing_of_the_token(self, tokens: RefreshTokens) -> None:
        token = tokens.first()
        assert len(tokens.digest(token)) == 32
        assert token.encode() not in tokens.digest(token)

    def test_it_is_no_access_token(self, tokens: RefreshTokens) -> None:
        with pytest.raises(TokenInvalid):
            JwtAccessTokens(OLD).read(tokens.first(), at=NOW)


class TestKeysOfAccessTokens:
    """A key is replaced."""

    def test_what_the_old_key_signed_is_good_while_both_are_there(self) -> None:
        token = JwtAccessTokens(OLD).issue(SESSION, at=NOW)
        assert JwtAccessTokens(NEW, OLD).read(token, at=NOW).session_id == SESSION.id
        with pytest.raises(TokenInvalid):
            JwtAccessTokens(NEW).read(token, at=NOW)

    def test_the_first_key_signs(self) -> None:
        token = JwtAccessTokens(NEW, OLD).issue(SESSION, at=NOW)
        assert JwtAccessTokens(NEW).read(token, at=NOW).session_id == SESSION.id
        with pytest.raises(TokenInvalid):
            JwtAccessTokens(OLD).read(token, at=NOW)

    def test_the_key_is_the_one_that_the_token_names(self) -> None:
        tokens = JwtAccessTokens(NEW, OLD)
        claims = jwt.decode(tokens.issue(SESSION, at=NOW), options={"verify_signature": False})
        old_kid = jwt.get_unverified_header(JwtAccessTokens(OLD).issue(SESSION, at=NOW))["kid"]
        for key, kid in [(NEW, old_kid), (OTHER, old_kid), (NEW, "00000000"), (NEW, ""), (OLD, "../key")]:
            with pytest.raises(TokenInvalid):
                tokens.read(jwt.encode(claims, key, "HS256", headers={"kid": kid}), at=NOW)

    def test_the_name_of_a_key_tells_nothing_of_it(self) -> None:
        header = jwt.get_unverified_header(JwtAccessTokens(OLD).issue(SESSION, at=NOW))
        assert len(header["kid"]) == 8

    @pytest.mark.parametrize("keys", [(), (OLD, b"s" * 31), (b"",)])
    def test_short_keys_and_none_are_refused(self, keys: tuple[bytes, ...]) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            JwtAccessTokens(*keys)

    def test_a_lifetime_ends_a_token_before_its_session(self) -> None:
        tokens = JwtAccessTokens(OLD)
        token = tokens.issue(SESSION, at=NOW, lifetime=timedelta(minutes=15))
        tokens.read(token, at=NOW + timedelta(minutes=15))
        with pytest.raises(TokenExpired):
            tokens.read(token, at=NOW + timedelta(minutes=16))

    def test_a_session_ends_a_token_before_its_lifetime(self) -> None:
        tokens = JwtAccessTokens(OLD)
        token = tokens.issue(SESSION, at=NOW, lifetime=timedelta(days=400))
        with pytest.raises(TokenExpired):
            tokens.read(token, at=SESSION.expires_at + timedelta(minutes=1))


@given(st.integers(10_000, 999_999_999_999_999))
def test_the_digest_of_a_number_is_not_the_number(number: int) -> None:
    phone = PhoneNumber(f"+{number}")
    digest = HmacPhoneDigest(b"k")
    assert digest(phone) == digest(phone) != HmacPhoneDigest(b"x")(phone)
    assert len(digest(phone)) == 24
