"""Operators look after accounts and replies."""

from datetime import timedelta

import pytest

from application.ports.audit import AuditEventType
from domain.accounts import Principal, UserId
from domain.errors import (
    AccountLocked,
    CredentialsInvalid,
    InvalidValue,
    MessageNotFound,
    QuotaExhausted,
    ReplyFinished,
    ReplyNotFailed,
    TokenInvalid,
)
from domain.one_time_password import Purpose
from domain.plans import Plan
from domain.replies import AnswerFailed, FailureReason, ReplyId, ReplyState
from tests.builders import ASHA, NOW, RAVI, House

NOBODY = UserId(House().user(ASHA).session_id)
A_MONTH = timedelta(days=30)
PASSWORD = "the password of Asha"


def what_was_recorded(house: House, principal: Principal) -> list[tuple[AuditEventType, str | None]]:
    """The newest first."""
    file = house.administration.show_user(principal.user_id)
    assert file is not None
    return [(event.what, event.note) for event in file.events]


def plan_of(house: House, principal: Principal) -> Plan:
    return house.use_cases.billing.show_plan_status(user_id=principal.user_id).plan


class TestFinding:
    @pytest.mark.parametrize("written", [ASHA, "98765 43210", "+91 98765-43210"])
    def test_by_number_as_people_write_it(self, written: str):
        house = House()
        assert house.administration.find_user(written) is None
        asha = house.user(ASHA)
        assert house.administration.find_user(written) == asha.user_id

    def test_by_id(self):
        house = House()
        asha = house.user(ASHA)
        assert house.administration.find_user(str(asha.user_id).upper()) == asha.user_id
        assert house.administration.find_user(str(asha.session_id)) is None

    def test_what_is_neither_is_refused(self):
        with pytest.raises(InvalidValue):
            House().administration.find_user("asha")


class TestLocked:
    def test_its_sessions_have_ended_and_none_begins(self):
        house = House()
        asha = house.user_with_password(ASHA, PASSWORD)
        auth, token = house.use_cases.auth, house.token(ASHA)
        house.clock.advance(timedelta(minutes=1))
        code = house.code(ASHA)
        assert house.administration.lock_user(asha.user_id, reason="spam")
        with pytest.raises(AccountLocked):
            auth.authenticate(token)
        with pytest.raises(AccountLocked):
            auth.authenticate_with_profile(token)
        with pytest.raises(AccountLocked):
            auth.verify_code(mobile_number=ASHA, code=code)
        with pytest.raises(AccountLocked):
            auth.log_in(mobile_number=ASHA, password=PASSWORD)
        with pytest.raises(AccountLocked):
            auth.reset_password(
                mobile_number=ASHA, code=house.code(ASHA, Purpose.PASSWORD_RESET), new_password=f"{PASSWORD} anew"
            )
        assert (AuditEventType.ACCOUNT_LOCKED, "spam") in what_was_recorded(house, asha)

    def test_who_does_not_know_the_password_is_not_told(self):
        house = House()
        asha = house.user_with_password(ASHA, PASSWORD)
        house.administration.lock_user(asha.user_id, reason="spam")
        with pytest.raises(CredentialsInvalid):
            house.use_cases.auth.log_in(mobile_number=ASHA, password="no such password")

    def test_others_are_not(self):
        house = House()
        asha, token = house.user(ASHA), house.token(RAVI)
        house.administration.lock_user(asha.user_id, reason="spam")
        assert house.use_cases.auth.authenticate(token).user_id != asha.user_id

    def test_unlocked_it_logs_in_again_but_its_old_sessions_stay_ended(self):
        house = House()
        asha, token = house.user(ASHA), house.token(ASHA)
        house.administration.lock_user(asha.user_id, reason="spam")
        assert house.administration.unlock_user(asha.user_id, reason="a mistake")
        with pytest.raises(TokenInvalid):
            house.use_cases.auth.authenticate(token)
        assert house.user(ASHA).user_id == asha.user_id
        assert (AuditEventType.ACCOUNT_UNLOCKED, "a mistake") in what_was_recorded(house, asha)


def test_all_sessions_are_ended():
    house = House()
    asha, tokens = house.user(ASHA), [house.token(ASHA), house.token(ASHA)]
    assert house.administration.end_sessions(asha.user_id, reason="a lost phone")
    for token in tokens:
        with pytest.raises(TokenInvalid):
            house.use_cases.auth.authenticate(token)
    assert what_was_recorded(house, asha)[0] == (AuditEventType.SESSIONS_ENDED, "a lost phone")


class TestGrantedPro:
    def test_lifts_the_quota_and_ends_by_itself(self):
        house = House(basic_daily_prompts=1)
        asha = house.user(ASHA)
        room = house.room(asha)
        house.say(asha, room, "one")
        with pytest.raises(QuotaExhausted):
            house.say(asha, room, "two")
        assert house.administration.grant_pro(asha.user_id, until=NOW + A_MONTH, reason="a partner")
        assert plan_of(house, asha) is Plan.PRO
        house.say(asha, room, "three")
        assert what_was_recorded(house, asha)[0] == (
            AuditEventType.PRO_GRANTED,
            "until 2026-04-01T09:30:00+00:00: a partner",
        )
        house.clock.advance(A_MONTH)
        assert plan_of(house, asha) is Plan.BASIC
        house.say(asha, room, "four")
        with pytest.raises(QuotaExhausted):
            house.say(asha, room, "five")

    def test_can_be_withdrawn(self):
        house = House()
        asha = house.user(ASHA)
        house.administration.grant_pro(asha.user_id, until=NOW + A_MONTH, reason="a partner")
        assert house.administration.withdraw_pro(asha.user_id, reason="no partner any more")
        assert plan_of(house, asha) is Plan.BASIC
        assert what_was_recorded(house, asha)[0] == (AuditEventType.PRO_WITHDRAWN, "no partner any more")

    def test_a_subscription_goes_on_without_it_and_it_without_a_subscription(self):
        house = House()
        asha, ravi = house.user(ASHA), house.user(RAVI)
        for user in (asha, ravi):
            house.subscribe(user)
            house.administration.grant_pro(user.user_id, until=NOW + A_MONTH, reason="a partner")
        house.administration.withdraw_pro(asha.user_id, reason="they pay")
        assert plan_of(house, asha) is Plan.PRO
        del house.database.tables.subscriptions[ravi.user_id]
        assert plan_of(house, ravi) is Plan.PRO

    def test_a_comparison_with_the_provider_neither_ends_it_nor_charges_for_it(self):
        house = House()
        asha = house.user(ASHA)
        house.use_cases.billing.subscribe(user_id=asha.user_id)
        house.administration.grant_pro(asha.user_id, until=NOW + 2 * A_MONTH, reason="a partner")
        house.clock.advance(A_MONTH)
        assert house.maintenance.reconcile(since=house.clock()).compared == 1
        assert plan_of(house, asha) is Plan.PRO
        assert house.payments.subscriptions == {}

    def test_it_must_end_in_the_future(self):
        house = House()
        with pytest.raises(InvalidValue):
            house.administration.grant_pro(house.user(ASHA).user_id, until=NOW, reason="late")


def test_who_is_not_there_cannot_be_changed():
    administration = House().administration
    assert administration.show_user(NOBODY) is None
    assert not administration.lock_user(NOBODY, reason="?")
    assert not administration.unlock_user(NOBODY, reason="?")
    assert not administration.end_sessions(NOBODY, reason="?")
    assert not administration.grant_pro(NOBODY, until=NOW + A_MONTH, reason="?")
    assert not administration.withdraw_pro(NOBODY, reason="?")


class TestReplies:
    def test_a_failed_one_is_retried_for_its_user(self):
        house = House()
        asha = house.user(ASHA)
        sent = house.say(asha, house.room(asha), "hi")
        house.model.will(AnswerFailed(FailureReason.REFUSED))
        house.work()
        assert house.used(asha) == 0
        again = house.administration.retry_reply(sent.reply_id)
        house.work()
        assert house.reply(again).state is ReplyState.DONE
        assert house.used(asha) == 1
        with pytest.raises(ReplyNotFailed):
            house.administration.retry_reply(again.reply_id)

    @pytest.mark.parametrize("claimed", [False, True])
    def test_an_unfinished_one_is_given_up_and_refunded_once(self, *, claimed: bool):
        house = House()
        asha = house.user(ASHA)
        sent = house.say(asha, house.room(asha), "hi")
        reply = house.claim_one() if claimed else None
        house.administration.give_up_reply(sent.reply_id)
        assert house.reply(sent).state is ReplyState.FAILED
        assert house.reply(sent).failure is FailureReason.GIVEN_UP
        assert house.used(asha) == 0
        assert house.stream.published(sent.reply_id)[-1].final
        if reply is not None:
            assert house.replying.find_stops([sent.reply_id]) == [sent.reply_id]
            assert house.write(reply) is None
        with pytest.raises(ReplyFinished):
            house.administration.give_up_reply(sent.reply_id)
        assert house.used(asha) == 0

    def test_what_is_not_there(self):
        administration = House().administration
        for act in (administration.show_reply, administration.retry_reply, administration.give_up_reply):
            with pytest.raises(MessageNotFound):
                act(ReplyId(NOBODY))
