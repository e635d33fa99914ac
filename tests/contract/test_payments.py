"""The contract of the payment provider: in memory, in the sandbox, and through Stripe's library over HTTP."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from adapters.memory.doubles import SettableClock
from adapters.memory.payments import MemoryPayments
from adapters.stripe.payments import API_VERSION, StripePayments
from adapters.stripe.sandbox.pages import Sandbox
from adapters.stripe.sandbox.state import StateInFile, StateInMemory
from application.ports.payments import CHECKOUT_ID, CustomerUnknown, Order, Payments
from domain.accounts import UserId
from domain.billing import CheckoutId, CheckoutState, CustomerId, RefundOutcome, SubscriptionId, SubscriptionStatus
from domain.errors import DependencyDown
from tests.concurrency import together
from tests.contract.world import new_id
from tests.fakes.stripe_scenarios import StripeScenarios
from tests.fakes.stripe_server import StripeServer, serving

KEY = "sk_test_of_the_tests"
PRICE = "price_pro"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
THREADS = 8


class Provider(ABC):
    """A payment provider, and the world beyond it."""

    payments: Payments
    clock: SettableClock

    @abstractmethod
    def pay(self, checkout_id: CheckoutId) -> None: ...

    @abstractmethod
    def sell(self, customer_id: CustomerId) -> SubscriptionId: ...

    @abstractmethod
    def charge_of(self, subscription_id: SubscriptionId) -> str: ...

    @abstractmethod
    def refunds(self) -> int: ...

    @abstractmethod
    def go_down(self) -> None: ...

    @abstractmethod
    def delete_customer(self, customer_id: CustomerId) -> None: ...

    @abstractmethod
    def refuse_refund(self, subscription_id: SubscriptionId) -> None: ...


class MemoryProvider(Provider):
    def __init__(self) -> None:
        self.clock = SettableClock(NOW)
        self.memory = MemoryPayments(self.clock)
        self.payments = self.memory

    def pay(self, checkout_id: CheckoutId) -> None:
        self.memory.pay(checkout_id)

    def sell(self, customer_id: CustomerId) -> SubscriptionId:
        return self.memory.sell(customer_id, PRICE)

    def charge_of(self, subscription_id: SubscriptionId) -> str:
        return f"ch_{subscription_id}"

    def refunds(self) -> int:
        return len(self.memory.refunded)

    def go_down(self) -> None:
        self.memory.down = True

    def delete_customer(self, customer_id: CustomerId) -> None:
        self.memory.delete_customer(customer_id)

    def refuse_refund(self, subscription_id: SubscriptionId) -> None:
        self.memory.not_refundable.add(subscription_id)


class StripeProvider(Provider):
    """Stripe's library in front of the stand-in."""

    def __init__(
        self, stripe: StripeScenarios, clock: SettableClock, payments: Payments, down: Callable[[], None]
    ) -> None:
        self.stripe, self.clock, self.payments, self._down = stripe, clock, payments, down

    def pay(self, checkout_id: CheckoutId) -> None:
        self.stripe.pay(checkout_id)

    def sell(self, customer_id: CustomerId) -> SubscriptionId:
        return SubscriptionId(self.stripe.sell(customer_id, PRICE))

    def charge_of(self, subscription_id: SubscriptionId) -> str:
        return self.stripe.dispute(subscription_id)

    def refunds(self) -> int:
        return len(self.stripe.look().refunds)

    def go_down(self) -> None:
        self._down()

    def delete_customer(self, customer_id: CustomerId) -> None:
        self.stripe.delete_customer(customer_id)

    def refuse_refund(self, subscription_id: SubscriptionId) -> None:
        self.stripe.dispute(subscription_id)


def a_fake(clock: SettableClock, **options: bool) -> StripeScenarios:
    return StripeScenarios(state=StateInMemory(), clock=clock, api_key=KEY, prices=frozenset({PRICE}), **options)  # type: ignore[arg-type]


def a_user() -> UserId:
    return UserId(new_id())


def an_order(user_id: UserId) -> Order:
    return Order(uuid4(), user_id, PRICE, f"https://chat.example/success?session_id={CHECKOUT_ID}", "https://x/y")


class PaymentsContract:
    def customer(self, provider: Provider) -> CustomerId:
        return provider.payments.new_customer(a_user())

    def test_a_key_is_of_one_account(self, provider: Provider) -> None:
        assert provider.payments.account() == provider.payments.account() is not None

    def test_a_user_is_one_customer(self, provider: Provider) -> None:
        user, other = a_user(), a_user()
        made = together([lambda: provider.payments.new_customer(user)] * THREADS)
        assert len(set(made)) == 1
        assert provider.payments.new_customer(other) not in made

    def test_an_order_is_one_checkout_however_many_ask(self, provider: Provider) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        order = an_order(user)
        made = together([lambda: provider.payments.open_checkout(order, customer)] * THREADS)
        assert len(set(made)) == 1
        assert made[0].state is CheckoutState.OPEN
        assert made[0].url is not None
        assert provider.payments.checkout(made[0].id) == made[0]
        another = provider.payments.open_checkout(replace(order, attempt_id=uuid4()), customer)
        assert another.id != made[0].id

    def test_there_is_no_checkout_that_was_not_opened(self, provider: Provider) -> None:
        assert provider.payments.checkout(CheckoutId("cs_test_invented")) is None

    def test_a_checkout_that_is_paid_is_a_subscription(self, provider: Provider) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        assert provider.payments.subscriptions_of(customer) == []
        checkout = provider.payments.open_checkout(an_order(user), customer)
        provider.pay(checkout.id)
        paid = provider.payments.checkout(checkout.id)
        assert paid is not None
        assert (paid.state, paid.url) == (CheckoutState.COMPLETE, None)
        [subscription] = provider.payments.subscriptions_of(customer, hurry=True)
        assert subscription.customer_id == customer
        assert subscription.status is SubscriptionStatus.ACTIVE
        assert subscription.price_ids == (PRICE,)
        assert (subscription.created_at, subscription.period_start) == (NOW, NOW)
        assert subscription.period_end == NOW + timedelta(days=30)
        assert not subscription.cancel_at_period_end

    def test_an_expired_checkout_stays_so_and_a_paid_one_too(self, provider: Provider) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        left, paid = (provider.payments.open_checkout(an_order(user), customer) for _ in range(2))
        provider.pay(paid.id)
        for checkout, state in ((left, CheckoutState.EXPIRED), (paid, CheckoutState.COMPLETE)):
            for _ in range(2):
                provider.payments.expire_checkout(checkout.id)
                now = provider.payments.checkout(checkout.id)
                assert now is not None
                assert (now.state, now.url) == (state, None)
        provider.payments.expire_checkout(CheckoutId("cs_test_invented"))

    def test_all_open_checkouts_of_a_customer_are_expired_and_no_other(self, provider: Provider) -> None:
        mine, other = self.customer(provider), self.customer(provider)
        opened = [provider.payments.open_checkout(an_order(a_user()), one) for one in (mine, mine, mine, other)]
        provider.pay(opened[0].id)
        provider.payments.expire_checkouts(mine)
        found = [provider.payments.checkout(one.id) for one in opened]
        assert [one.state for one in found if one] == ["complete", "expired", "expired", "open"]
        with pytest.raises(CustomerUnknown):
            provider.payments.expire_checkouts(CustomerId("cus_of_another_account"))

    def test_a_checkout_expires_after_a_day(self, provider: Provider) -> None:
        user = a_user()
        checkout = provider.payments.open_checkout(an_order(user), provider.payments.new_customer(user))
        provider.clock.advance(timedelta(hours=24))
        now = provider.payments.checkout(checkout.id)
        assert now is not None
        assert now.state is CheckoutState.EXPIRED

    def test_a_subscription_ends_with_its_period_or_goes_on(self, provider: Provider) -> None:
        customer = self.customer(provider)
        subscription_id = provider.sell(customer)

        def ends() -> bool:
            return provider.payments.subscriptions_of(customer)[0].cancel_at_period_end

        for number, renew in enumerate((False, False, True, True, False)):
            provider.payments.renew(subscription_id, renew=renew, key=f"wish-{number}")
            assert ends() is not renew
        # The same wish once more, long after, is no wish any more.
        provider.payments.renew(subscription_id, renew=True, key="wish-2")
        assert ends()

    def test_what_has_ended_cannot_go_on(self, provider: Provider) -> None:
        customer = self.customer(provider)
        subscription_id = provider.sell(customer)
        provider.payments.cancel(subscription_id)
        provider.payments.renew(subscription_id, renew=True, key="wish")
        assert provider.payments.subscriptions_of(customer)[0].status is SubscriptionStatus.CANCELED
        assert provider.refunds() == 0

    def test_a_cancelled_subscription_is_refunded_once(self, provider: Provider) -> None:
        customer = self.customer(provider)
        subscription_id = provider.sell(customer)
        for _ in range(3):
            provider.payments.cancel(subscription_id)
            assert provider.payments.refund(subscription_id) is RefundOutcome.DONE
        assert provider.payments.subscriptions_of(customer)[0].status is SubscriptionStatus.CANCELED
        assert provider.refunds() == 1
        provider.payments.cancel(SubscriptionId("sub_invented"))
        assert provider.payments.refund(SubscriptionId("sub_invented")) is RefundOutcome.NOTHING_PAID
        assert provider.refunds() == 1

    def test_customers_do_not_share(self, provider: Provider) -> None:
        one, other = self.customer(provider), self.customer(provider)
        bought = provider.sell(one)
        assert [subscription.id for subscription in provider.payments.subscriptions_of(one)] == [bought]
        assert provider.payments.subscriptions_of(other) == []

    def test_however_many_there_were_all_are_told(self, provider: Provider) -> None:
        customer = self.customer(provider)
        bought = {provider.sell(customer) for _ in range(103)}
        assert {subscription.id for subscription in provider.payments.subscriptions_of(customer)} == bought

    def test_a_charge_leads_to_its_customer(self, provider: Provider) -> None:
        customer = self.customer(provider)
        assert provider.payments.customer_of_charge(provider.charge_of(provider.sell(customer))) == customer
        assert provider.payments.customer_of_charge("ch_invented") is None

    def test_a_portal_is_new_each_time(self, provider: Provider) -> None:
        customer = self.customer(provider)
        urls = {provider.payments.open_portal(customer, return_url="https://chat.example") for _ in range(2)}
        assert len(urls) == 2
        assert all(url.startswith("https://") for url in urls)

    def test_an_unknown_or_deleted_customer_is_told_from_one_without_subscriptions(self, provider: Provider) -> None:
        stranger = CustomerId("cus_of_another_account")
        deleted = self.customer(provider)
        provider.delete_customer(deleted)
        for customer in (stranger, deleted):
            for action in (
                lambda customer=customer: provider.payments.open_checkout(an_order(a_user()), customer),
                lambda customer=customer: provider.payments.open_portal(customer, return_url="https://chat.example"),
            ):
                with pytest.raises(CustomerUnknown):
                    action()
            assert provider.payments.user_of(customer) is None
        with pytest.raises(CustomerUnknown):
            provider.payments.subscriptions_of(stranger)

    def test_a_customer_in_place_of_an_unknown_one_is_another(self, provider: Provider) -> None:
        user = a_user()
        first = provider.payments.new_customer(user)
        provider.delete_customer(first)
        second = provider.payments.new_customer(user, instead_of=first)
        assert second != first
        assert provider.payments.new_customer(user, instead_of=first) == second

    def test_customers_are_found_by_the_user_that_is_written_at_the_provider(self, provider: Provider) -> None:
        user, other = a_user(), a_user()
        customer, others = provider.payments.new_customer(user), provider.payments.new_customer(other)
        assert list(provider.payments.customers_of(user)) == [customer]
        assert list(provider.payments.customers_of(a_user())) == []
        assert provider.payments.user_of(customer) == user
        assert set(provider.payments.all_customers()) == {(customer, user), (others, other)}
        provider.delete_customer(customer)
        assert list(provider.payments.customers_of(user)) == []
        assert set(provider.payments.all_customers()) == {(others, other)}

    def test_a_refund_that_is_refused_for_good_is_said_to_be(self, provider: Provider) -> None:
        subscription_id = provider.sell(self.customer(provider))
        provider.refuse_refund(subscription_id)
        assert provider.payments.refund(subscription_id) is RefundOutcome.REFUSED
        assert provider.refunds() == 0

    def test_what_was_sold_in_a_checkout_carries_its_mark(self, provider: Provider) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        provider.pay(provider.payments.open_checkout(an_order(user), customer).id)
        by_hand = provider.sell(customer)
        marks = {one.id: one.sold_here for one in provider.payments.subscriptions_of(customer)}
        assert marks.pop(by_hand) is False
        assert list(marks.values()) == [True]

    def test_a_provider_that_is_down_is_said_to_be(self, provider: Provider) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        checkout = provider.payments.open_checkout(an_order(user), customer)
        subscription_id = provider.sell(customer)
        provider.go_down()
        actions: list[Callable[[], object]] = [
            provider.payments.account,
            lambda: provider.payments.new_customer(a_user()),
            lambda: provider.payments.open_checkout(an_order(user), customer),
            lambda: provider.payments.checkout(checkout.id),
            lambda: provider.payments.expire_checkout(checkout.id),
            lambda: provider.payments.expire_checkouts(customer),
            lambda: provider.payments.open_portal(customer, return_url="https://chat.example"),
            lambda: provider.payments.subscriptions_of(customer),
            lambda: provider.payments.renew(subscription_id, renew=False, key="wish"),
            lambda: provider.payments.cancel(subscription_id),
            lambda: provider.payments.refund(subscription_id),
            lambda: provider.payments.customers_of(user),
            lambda: provider.payments.user_of(customer),
            lambda: list(provider.payments.all_customers()),
            lambda: provider.payments.customer_of_charge("ch_1"),
        ]
        for action in actions:
            with pytest.raises(DependencyDown) as down:
                action()
            assert down.value.dependency == "stripe"


class TestMemoryPayments(PaymentsContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return MemoryProvider()


class TestSandbox(PaymentsContract):
    @pytest.fixture
    def provider(self, tmp_path) -> Provider:
        clock = SettableClock(NOW)
        state = StateInFile(tmp_path / "data" / "sandbox.json")
        stripe = StripeScenarios(state=state, clock=clock, api_key=KEY, prices=frozenset({PRICE}))
        sandbox = Sandbox(stripe, clock=clock, deliver=lambda _body, _signature: None, secret="whsec_1")
        payments = StripePayments(api_key=KEY, transport=sandbox.handle)

        def go_down() -> None:
            provider.payments = StripePayments(api_key="sk_test_revoked", transport=sandbox.handle)

        provider = StripeProvider(stripe, clock, payments, go_down)
        return provider


class TestStripePayments(PaymentsContract):
    """Stripe's library, over HTTP."""

    @pytest.fixture
    def fake(self) -> StripeScenarios:
        return a_fake(SettableClock(NOW))

    @pytest.fixture
    def server(self, fake: StripeScenarios) -> Iterator[StripeServer]:
        with serving(fake) as server:
            yield server

    @pytest.fixture
    def provider(self, fake: StripeScenarios, server: StripeServer) -> Provider:
        def go_down() -> None:
            server.faults.down = True

        clock = fake._clock
        assert isinstance(clock, SettableClock)
        return StripeProvider(fake, clock, StripePayments(api_key=KEY, base_url=server.url), go_down)

    def test_the_version_is_pinned_and_every_write_has_a_key(self, provider: Provider, server: StripeServer) -> None:
        user = a_user()
        customer = provider.payments.new_customer(user)
        checkout = provider.payments.open_checkout(an_order(user), customer)
        provider.payments.expire_checkout(checkout.id)
        subscription_id = provider.sell(customer)
        provider.payments.renew(subscription_id, renew=False, key="wish")
        provider.payments.cancel(subscription_id)
        provider.payments.refund(subscription_id)
        assert {asked.headers["stripe-version"] for asked in server.asked} == {API_VERSION}
        writes = [asked for asked in server.asked if asked.method != "GET"]
        assert len(writes) == 6
        assert all(asked.headers["idempotency-key"] for asked in writes)

    def test_who_it_is_stands_on_the_session_and_on_the_subscription(
        self, provider: Provider, fake: StripeScenarios
    ) -> None:
        user = a_user()
        checkout = provider.payments.open_checkout(an_order(user), provider.payments.new_customer(user))
        provider.pay(checkout.id)
        objects = fake.look()
        [session], [subscription] = objects.sessions.values(), objects.subscriptions.values()
        assert session["client_reference_id"] == str(user)
        assert session["mode"] == "subscription"
        # Stripe's own placeholder for the id.
        assert session["success_url"] == "https://chat.example/success?session_id={CHECKOUT_SESSION_ID}"
        assert session["metadata"] == subscription["metadata"] == {"user_id": str(user)}

    def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(
        self, provider: Provider, server: StripeServer, fake: StripeScenarios
    ) -> None:
        user = a_user()
        server.faults.lost = 1
        customer = provider.payments.new_customer(user)
        server.faults.lost = 1
        provider.payments.open_checkout(an_order(user), customer)
        assert (len(fake.look().customers), len(fake.look().sessions)) == (1, 1)

    def test_a_failure_that_stripe_keeps_does_not_keep_us(self, provider: Provider, server: StripeServer) -> None:
        user = a_user()
        server.faults.burnt = 1
        with pytest.raises(DependencyDown):
            provider.payments.new_customer(user)
        assert provider.payments.new_customer(user) == provider.payments.new_customer(user)

    def test_in_a_hurry_it_is_given_two_seconds(self, provider: Provider, server: StripeServer) -> None:
        customer = provider.payments.new_customer(a_user())
        server.faults.slow = 3.0
        began = datetime.now(UTC)
        with pytest.raises(DependencyDown):
            provider.payments.subscriptions_of(customer, hurry=True)
        assert datetime.now(UTC) - began < timedelta(seconds=2.9)

    def test_no_server_listens(self) -> None:
        payments = StripePayments(api_key=KEY, base_url="http://127.0.0.1:9")
        with pytest.raises(DependencyDown):
            payments.subscriptions_of(CustomerId("cus_1"), hurry=True)

    def test_a_wrong_key_and_a_wrong_price_are_faults_of_ours(self, server: StripeServer, provider: Provider) -> None:
        with pytest.raises(DependencyDown):
            StripePayments(api_key="sk_test_wrong", base_url=server.url).new_customer(a_user())
        user = a_user()
        with pytest.raises(DependencyDown):
            provider.payments.open_checkout(
                replace(an_order(user), price_id="price_gone"), provider.payments.new_customer(user)
            )

    def test_an_end_that_was_set_as_a_day_is_an_end_too(self, provider: Provider, fake: StripeScenarios) -> None:
        customer = provider.payments.new_customer(a_user())
        subscription_id = provider.sell(customer)
        day = NOW + timedelta(days=3)
        with fake._state() as objects:
            objects.subscriptions[subscription_id]["cancel_at"] = int(day.timestamp())
        [subscription] = provider.payments.subscriptions_of(customer)
        assert (subscription.cancel_at_period_end, subscription.period_end) == (True, day)
        provider.payments.renew(subscription_id, renew=True, key="wish")
        assert not provider.payments.subscriptions_of(customer)[0].cancel_at_period_end


class TestTheShapesBefore202503(PaymentsContract):
    """The same, from a Stripe that answers in the shapes it had before."""

    @pytest.fixture
    def provider(self) -> Provider:
        clock = SettableClock(NOW)
        fake = a_fake(clock, old_shapes=True)

        def go_down() -> None:
            provider.payments = StripePayments(api_key="sk_test_revoked", transport=fake.handle)

        provider = StripeProvider(fake, clock, StripePayments(api_key=KEY, transport=fake.handle), go_down)
        return provider
