"""Everything dies at random for some seconds, and no promise is broken. `make storm` does it for minutes."""

import pytest

from tests.e2e.storm import storm

pytestmark = pytest.mark.real


def test_a_storm(tmp_path):
    ledger = storm(tmp_path, seconds=10, seed=20_261_123)
    assert len(ledger.letters) > 20
    assert sum(ledger.faults.values()) > 3
