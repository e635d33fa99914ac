"""What a process imports, it pays for in memory: nothing that only another process needs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BUILD_A_WORKER = """
import sys
from entrypoints.container.build import build_worker
from entrypoints.settings import read_settings

build_worker(read_settings({
    "DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://nowhere", "DATA_DIR": sys.argv[1],
    "STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_PRICE_ID": "price_1", "LLM_PROVIDER": "offline",
}))
print(*sys.modules)
"""

OF_REQUESTS = {"alembic", "bcrypt", "flask", "jwt", "limits", "phonenumbers"}
ON_DEMAND = {"prometheus_client", "stripe"}
OUR_OWN_OF_REQUESTS = {"adapters.stripe.sandbox", "application.use_cases", "entrypoints.container.web_adapters"}


def test_a_worker_leaves_at_home_what_it_does_not_need_at_once(tmp_path: Path):
    built = subprocess.run(
        [sys.executable, "-c", BUILD_A_WORKER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(built.stdout.split())
    assert "entrypoints.container.worker_adapters" in imported
    assert not imported & (OF_REQUESTS | ON_DEMAND | OUR_OWN_OF_REQUESTS)
