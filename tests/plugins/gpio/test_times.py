"""The time of an edge: UTC, made of the kernel's own clock; also where the thread loses its turn while it looks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labkit_plugins.gpio import lines

UTC = 1_800_000_000.0
SECOND = 1_000_000_000


def clocks(monkeypatch: pytest.MonkeyPatch, *pauses: float) -> None:
    """Clocks that begin at UTC and 100 s, and stand still but for pauses right after UTC was looked at."""
    passed, coming = [0.0], list(pauses)

    def utc() -> float:
        now = UTC + passed[0]
        passed[0] += coming.pop(0) if coming else 0.0
        return now

    stand_in = SimpleNamespace(time=utc, monotonic_ns=lambda: 100 * SECOND + round(passed[0] * SECOND))
    monkeypatch.setattr(lines, "time", stand_in)


@pytest.mark.parametrize("pauses", [(), (3.0,), (3.0, 0.5, 3.0)])
def test_edge_has_its_time_however_long_the_look_takes(monkeypatch: pytest.MonkeyPatch, pauses: tuple[float]) -> None:
    clocks(monkeypatch, *pauses)
    assert lines.utc_of(98 * SECOND) == pytest.approx(UTC - 2, abs=0.001)


def test_machine_that_never_stops_pausing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks(monkeypatch, *[0.5] * 100)
    assert lines.utc_of(98 * SECOND) == pytest.approx(UTC - 2, abs=0.501)
