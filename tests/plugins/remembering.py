"""A device's link for tests of drivers: it remembers, and lets a test wait. Each driver's tests add its feeds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""


@dataclass
class Remembering:
    """What is the same for all of them. Who keeps something keeps it under `changed`, and notifies."""

    folder: Path
    name: str = "bench-1/device"
    losses: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def lost(self, reason: str) -> None:
        with self.changed:
            self.losses.append(reason)
            self.changed.notify_all()

    def watched(self, feed: str) -> bool:
        return False

    def wait_for(self, true: Callable[[], Any]) -> Any:
        """Wait until something is true, and return it."""
        with self.changed:
            found = self.changed.wait_for(true, PATIENCE)
            assert found, f"{self!r:.2000}"
            return found

    def wait_lost(self) -> str:
        self.wait_for(lambda: self.losses)
        return self.losses[0]
