"""Reserving benches: why none is free in words, benches that can't be made ready, all or nothing."""

from __future__ import annotations

import pytest

from labkit.clock import Clock
from labkit.context import BoundSession, Purpose
from labkit.devices.reservation import explain, sentence
from labkit.devices.wish import Wish
from labkit.errors import BenchUnavailableError, ReservationLostError
from labkit.store.sessions import NewSession, Refusal, Started
from tests.loop.host_bench import HostBench
from tests.loop.host_bench import lab_of_two as lab_of_two

NOON, LATER = "1795348800.0", "1795349400.0"
LEDS = "bench-1/leds"


def refusal(state: str, first: str = "", second: str = "") -> Refusal:
    return Refusal(bench="bench-1", state=state, first=first, second=second)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (refusal("reserved", NOON, LATER), "is reserved by another session since 12:00:00 UTC until 12:10:00 UTC"),
        (refusal("releasing", NOON), "is being made safe after another session since 12:00:00 UTC"),
        (refusal("own-reserved", NOON, LATER), "is this session's own already since 12:00:00 UTC"),
        (refusal("own-releasing", NOON), "is being made safe after this session since 12:00:00 UTC"),
        (refusal("drained", NOON, "exam"), "is given to nobody new since 12:00:00 UTC (exam)"),
        (refusal("drained", NOON), "is given to nobody new since 12:00:00 UTC"),
        (refusal("maintenance", NOON, "new motor"), "is in maintenance since 12:00:00 UTC (new motor)"),
        (refusal("no-host"), "is not hosted at the moment (no `labkit loop` has it)"),
        (refusal("faulty", LEDS, "hot"), "is out of service: its device bench-1/leds is faulty (hot)"),
        (refusal("offline", LEDS, "unplugged"), "is out of service: its device bench-1/leds is offline (unplugged)"),
    ],
)
def test_refusal_says_why_and_until_when(row: Refusal, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", lambda _: float(NOON) + 60)
    assert sentence(row) == f"bench-1 {text}"


def test_bench_that_is_away_for_days_is_told_with_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", lambda _: float(NOON) + 3 * 86_400)
    assert sentence(refusal("maintenance", NOON, "new motor")) == (
        "bench-1 is in maintenance since 2026-11-22 12:00:00 UTC (new motor)"
    )


def test_all_refusals_are_one_message_and_none_says_what_to_do() -> None:
    both = explain([refusal("no-host"), refusal("releasing", NOON)])
    assert both.count("bench-1") == 2
    assert both.endswith(".")
    assert "devices/" in explain([])
    assert "bench-7" in explain([], Wish("bench-7"))
    assert explain([], Wish(features=["uno", "camera"])).startswith(
        "There is no bench with the features 'uno', 'camera'."
    )


@pytest.fixture
def bound(lab: HostBench) -> BoundSession:
    """A session that starts and has no bench yet."""
    new = NewSession(session_id="s", user={}, slot_start=None, slot_length=600, timeout=0, start_timeout=60, bench="-")
    assert isinstance(lab.sessions.start(new, lab.process.id), Started)
    return BoundSession(session_id="s", purpose=Purpose.START, owner=lab.process.id)


def test_acquired_bench_is_open_safe_and_bound(lab: HostBench, bound: BoundSession) -> None:
    assert lab.benches.acquire(bound) == "bench-1"
    assert bound.fences == lab.sessions.touch("s", poll=False).fences
    assert lab.world.acts == ["open", "safe", "safe"]


def test_bench_that_can_not_be_made_ready_is_left_and_the_next_taken(lab: HostBench, bound: BoundSession) -> None:
    lab.world.failing["make_safe"] = RuntimeError("motor hot")
    assert lab.benches.acquire(bound) == "bench-2"
    assert list(bound.fences) == ["bench-2"]
    lab.wait_condition("faulty", "bench-1")


def test_where_no_bench_can_be_made_ready_each_one_is_named(lab: HostBench, bound: BoundSession) -> None:
    for world in lab.worlds.values():
        world.failing["make_safe"] = RuntimeError("motor hot")
    with pytest.raises(BenchUnavailableError) as error:
        lab.benches.acquire(bound)
    for bench in ("bench-1", "bench-2"):
        assert f"{bench} could not be made ready" in str(error.value)
    assert "motor hot" in str(error.value)
    assert bound.fences == {}


def test_excluded_bench_is_not_taken(lab: HostBench, bound: BoundSession) -> None:
    assert lab.benches.acquire(bound, excluded=["bench-1"]) == "bench-2"


def test_session_that_is_over_acquires_nothing(lab: HostBench, bound: BoundSession) -> None:
    bound.owner = "somebody:else:1"
    with pytest.raises(ReservationLostError):
        lab.benches.acquire(bound)


def test_release_under_a_fence_that_is_not_the_benchs_is_refused(lab: HostBench, bound: BoundSession) -> None:
    lab.benches.acquire(bound)
    bound.fences["bench-1"] -= 1
    with pytest.raises(ReservationLostError, match="bench-1"):
        lab.benches.release(bound, "bench-1")
    assert lab.device("bench-1").hold == "reserved"
