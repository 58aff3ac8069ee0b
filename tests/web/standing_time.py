"""A time that stands still until a test moves it, in the place of the module `time`. For the tests of limits."""

from __future__ import annotations


class StandingTime:
    """Stands for what code asks of the module `time`: `monkeypatch.setattr(rates, "time", StandingTime())`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
