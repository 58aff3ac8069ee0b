"""What the tests of the loop share: waits that are short enough to be waited for."""

from __future__ import annotations

import pytest

from labkit.loop import device_state, operation


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted operation is stuck after a moment instead of 2 s."""
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", 0.1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not ok is tried again at once."""
    monkeypatch.setattr(device_state, "RETRY_OFFLINE", 0.01)
    monkeypatch.setattr(device_state, "RETRY_FAULTY", 0.01)
