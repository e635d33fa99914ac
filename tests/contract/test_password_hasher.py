"""The contract of passwords at rest."""

from functools import partial

import bcrypt
import pytest

from adapters.crypto.bcrypt_password_hasher import BcryptPasswordHasher
from adapters.memory.doubles import PlainPasswordHasher
from application.ports.password_hasher import PasswordHasher
from tests.concurrency import together
from tests.contract.world import shown

# What bcrypt alone gets wrong: it ignores what comes after 72 bytes (or refuses it) and stops at a NUL.
TEXTS = [
    "correct horse battery staple",
    "",
    " ",
    "x" * 72,
    "x" * 73,
    "x" * 128,
    "x" * 100_000,
    "पासवर्ड नमस्ते",
    "👩🏽‍🚀" * 30,
    "before\x00after",
    "\ud800",
    "a:b:c:$2b$12$",
]


class PasswordHasherContract:
    @pytest.mark.parametrize("password", TEXTS, ids=shown)
    def test_the_password_matches_and_its_neighbours_do_not(self, hasher: PasswordHasher, password: str) -> None:
        kept = hasher.hash(password)
        assert hasher.matches(password, kept)
        for other in (password + "x", password + "\x00", password[:-1] or "y", password.upper() + "é", "wrong"):
            assert not hasher.matches(other, kept)

    def test_passwords_that_differ_only_far_behind_are_different(self, hasher: PasswordHasher) -> None:
        assert not hasher.matches("x" * 127 + "b", hasher.hash("x" * 127 + "a"))

    def test_passwords_that_differ_only_behind_a_nul_are_different(self, hasher: PasswordHasher) -> None:
        assert not hasher.matches("before\x00other", hasher.hash("before\x00after"))

    def test_two_hashes_of_a_password_differ_and_both_match(self, hasher: PasswordHasher) -> None:
        one, other = hasher.hash("swordfish"), hasher.hash("swordfish")
        assert one != other
        assert hasher.matches("swordfish", one)
        assert hasher.matches("swordfish", other)

    @pytest.mark.parametrize("password", TEXTS, ids=shown)
    def test_no_password_never_matches(self, hasher: PasswordHasher, password: str) -> None:
        assert not hasher.matches(password, None)

    def test_a_hash_of_another_cost_still_matches_and_is_to_be_made_anew(
        self, hasher: PasswordHasher, dearer: PasswordHasher
    ) -> None:
        for one, other in ((hasher, dearer), (dearer, hasher)):
            kept = one.hash("swordfish")
            assert not one.needs_rehash(kept)
            assert other.needs_rehash(kept)
            assert other.matches("swordfish", kept)

    def test_many_at_once(self, hasher: PasswordHasher) -> None:
        passwords = [f"password {number}" for number in range(12)]
        hashes = together(partial(hasher.hash, password) for password in passwords)
        checks = [partial(hasher.matches, password, kept) for password, kept in zip(passwords, hashes, strict=True)]
        assert together(checks) == [True] * 12


class TestPlainPasswordHasher(PasswordHasherContract):
    @pytest.fixture
    def hasher(self) -> PasswordHasher:
        return PlainPasswordHasher()

    @pytest.fixture
    def dearer(self) -> PasswordHasher:
        return PlainPasswordHasher(cost=2)


class TestBcryptPasswordHasher(PasswordHasherContract):
    @pytest.fixture
    def hasher(self) -> PasswordHasher:
        return BcryptPasswordHasher(pepper=b"pepper", cost=4)

    @pytest.fixture
    def dearer(self) -> PasswordHasher:
        return BcryptPasswordHasher(pepper=b"pepper", cost=5)

    def test_what_is_kept_is_a_bcrypt_hash_of_the_cost(self, hasher: PasswordHasher) -> None:
        kept = hasher.hash("swordfish")
        assert kept.startswith("$2b$04$")
        assert "swordfish" not in kept

    def test_without_the_pepper_it_does_not_match(self, hasher: PasswordHasher) -> None:
        other = BcryptPasswordHasher(pepper=b"another", cost=4)
        assert not other.matches("swordfish", hasher.hash("swordfish"))

    def test_an_empty_pepper_will_do(self) -> None:
        hasher = BcryptPasswordHasher(pepper=b"", cost=4)
        assert hasher.matches("swordfish", hasher.hash("swordfish"))


def cost_of(salt: bytes) -> int:
    return int(salt.split(b"$")[2])


class TestWorkOfBcrypt:
    """A refusal takes the same rounds, with or without an account, and whenever its user last logged in."""

    @pytest.fixture
    def rounds(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The rounds of each chunk of work of bcrypt's."""
        rounds: list[int] = []
        hashpw, checkpw = bcrypt.hashpw, bcrypt.checkpw

        def count_hash(password: bytes, salt: bytes) -> bytes:
            rounds.append(2 ** cost_of(salt))
            return hashpw(password, salt)

        def count_check(password: bytes, hashed: bytes) -> bool:
            rounds.append(2 ** cost_of(hashed))
            return checkpw(password, hashed)

        monkeypatch.setattr(bcrypt, "hashpw", count_hash)
        monkeypatch.setattr(bcrypt, "checkpw", count_check)
        return rounds

    @pytest.mark.parametrize("kept_at", [None, 4, 5, 6, 7])
    def test_a_refusal_takes_the_rounds_of_the_present_cost(self, rounds: list[int], kept_at: int | None) -> None:
        kept = BcryptPasswordHasher(pepper=b"", cost=kept_at).hash("swordfish") if kept_at else None
        hasher = BcryptPasswordHasher(pepper=b"", cost=7)
        rounds.clear()
        assert not hasher.matches("wrong", kept)
        assert sum(rounds) == 2**7

    @pytest.mark.parametrize("kept_at", [None, 4, 5, 6, 7])
    def test_after_the_cost_was_lowered_it_is_that_of_the_dearest_hash_seen(
        self, rounds: list[int], kept_at: int | None
    ) -> None:
        kept = BcryptPasswordHasher(pepper=b"", cost=kept_at).hash("swordfish") if kept_at else None
        hasher = BcryptPasswordHasher(pepper=b"", cost=5)
        assert hasher.matches("a dearer one", BcryptPasswordHasher(pepper=b"", cost=7).hash("a dearer one"))
        rounds.clear()
        assert not hasher.matches("wrong", kept)
        assert sum(rounds) == 2**7
        assert cost_of(hasher.hash("a new one").encode()) == 5

    @pytest.mark.parametrize("kept_at", [4, 5, 6])
    def test_what_matches_takes_its_own_rounds_only(self, rounds: list[int], kept_at: int) -> None:
        kept = BcryptPasswordHasher(pepper=b"", cost=kept_at).hash("swordfish")
        rounds.clear()
        assert BcryptPasswordHasher(pepper=b"", cost=5).matches("swordfish", kept)
        assert rounds == [2**kept_at]

    def test_all_of_it_takes_one_place(self) -> None:
        kept = BcryptPasswordHasher(pepper=b"", cost=4).hash("swordfish")
        assert not BcryptPasswordHasher(pepper=b"", cost=6, places=1).matches("wrong", kept)
