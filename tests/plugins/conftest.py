"""What tests of all bundled drivers need: ends of threads that a busy machine may be late with."""

from __future__ import annotations

import threading

import pytest

from labkit_plugins.reading import ReaderThread
from tests.toy import GUARD


@pytest.fixture(autouse=True)
def patient_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stops a reader waits for its end: a driver does so for 2 s, and leaves what is late to itself."""
    monkeypatch.setattr(ReaderThread, "join", lambda thread, seconds=None: threading.Thread.join(thread, GUARD))
