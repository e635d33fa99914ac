"""Which payment provider a process is given."""

from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from application.billing.manage import EndBilling
from domain.accounts import UserId
from domain.billing import CustomerId
from domain.errors import DependencyDown, WebhookNotConfigured
from entrypoints.container.build import Web, build_web, build_worker
from entrypoints.settings import read_settings

NOWHERE = {"DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://nowhere"}
STRIPE = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_PRICE_ID": "price_1", "STRIPE_API_BASE": "http://127.0.0.1:9"}


def built(directory: Path, **given: str) -> Web:
    """A web process; nothing is connected."""
    return build_web(read_settings({**NOWHERE, "DATA_DIR": str(directory), **given}))


def test_without_a_key_development_has_a_sandbox(tmp_path: Path):
    web = built(tmp_path)
    assert web.sandbox is not None
    payments = web.use_cases.billing.subscribe.payments
    customer_id = payments.new_customer(UserId(uuid4()))
    assert payments.subscriptions_of(customer_id) == []
    assert (tmp_path / "sandbox-payments.json").exists()


def test_with_a_key_there_is_none(tmp_path: Path):
    web = built(tmp_path, **STRIPE, STRIPE_WEBHOOK_SECRET="whsec_1")
    assert web.sandbox is None
    with pytest.raises(DependencyDown):
        web.use_cases.billing.subscribe.payments.subscriptions_of(CustomerId("cus_1"), hurry=True)


def test_a_worker_reaches_the_same_provider_at_its_first_call(tmp_path: Path):
    customer_id = built(tmp_path).use_cases.billing.subscribe.payments.new_customer(UserId(uuid4()))
    worker = build_worker(read_settings({**NOWHERE, "DATA_DIR": str(tmp_path)}))
    payments = worker.billing.reconcile.sync.payments
    assert payments.subscriptions_of(customer_id) == []
    worker.close()


def test_a_missing_webhook_secret_is_said_at_the_start_and_closes_the_webhook(tmp_path: Path):
    with capture_logs() as logs:
        web = built(tmp_path, **STRIPE)
    assert [line["log_level"] for line in logs if line["event"] == "stripe_webhook_secret_missing"] == ["warning"]
    with pytest.raises(WebhookNotConfigured):
        web.use_cases.billing.receive_event(body=b"{}", signature="t=1,v1=2")


def test_a_service_may_sell_nothing(tmp_path: Path):
    web = built(tmp_path, PAYMENT_PROVIDER="none")
    assert web.sandbox is None
    with pytest.raises(DependencyDown) as down:
        web.use_cases.billing.subscribe.payments.new_customer(UserId(uuid4()))
    assert down.value.dependency == "payments"


def test_erasing_an_account_ends_its_billing_first(tmp_path: Path):
    use_cases = built(tmp_path).use_cases
    assert isinstance(use_cases.auth.erase_account.erasure_hook, EndBilling)
