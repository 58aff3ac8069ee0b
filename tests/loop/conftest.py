"""What the tests of the loop share: waits that are short enough to be waited for, and patience with a busy machine."""

from __future__ import annotations

import pytest

from labkit.loop import device_state, operation
from tests.toy import GUARD


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted operation has more than 2 s to end: on a busy machine the thread that interrupts it may come late,
    and a driver that ends as it should would count as stuck. Where one is to get stuck: `impatient`."""
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", GUARD)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted operation is stuck after a moment instead of 2 s."""
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", 0.1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not ok is tried again at once."""
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.01)
    monkeypatch.setattr(device_state, "RETRY_FAULTY", 0.01)
