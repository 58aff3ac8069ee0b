"""When a slot begins and ends: every form in which an RLMS says it, in any time zone, across changes of the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.clock import Clock
from labkit.web.start_request import parse_start
from tests.small_lab import MakeLab, SmallLab
from tests.web.malformed import LENGTH, NAME, START

ZONES = [
    "UTC", "Europe/Madrid", "America/New_York", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Pago_Pago", "XXX-5",
]  # fmt: skip
NAMED = ZONES[:-1]
MOMENT = datetime(2026, 11, 22, 9, 33, 46, 835664, UTC).timestamp()

CHANGES = [
    ("Europe/Madrid", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Madrid", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
]
"""Moments at which clocks change: forward and back, by an hour, by half an hour, by a day."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts this machine into a time zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def read(*, now: float = MOMENT, **start: Any) -> float | None:
    """The start of a slot that an RLMS states; start: `text` and what comes after `.start.`."""
    facts = {START if key == "text" else f"{START}.{key}": value for key, value in start.items()}
    return parse_start({"server_initial_data": {NAME: "ada", LENGTH: 60, **facts}}, lambda: now).slot_start


def local(moment: float, zone: str | None = None) -> str:
    """A moment as an RLMS writes it: local time (None: of this machine), the fraction missing when it is zero."""
    return str(datetime.fromtimestamp(moment, None if zone is None else ZoneInfo(zone)).replace(tzinfo=None))


# -- forms


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("moment", [MOMENT, 1795340026.0, 1782000000.5])
def test_every_form_gives_the_same_moment_in_any_zone(machine: Callable[[str], None], zone: str, moment: float) -> None:
    machine(zone)
    utc = datetime.fromtimestamp(moment, UTC)
    forms: list[dict[str, Any]] = [
        {"timestamp": moment}, {"timestamp": str(moment)}, {"timestamp": f" {moment} "},
        {"text": local(moment)},
        {"text": local(moment).replace(" ", "T")},
        {"text": utc.isoformat()},
        {"text": utc.isoformat(" ")},
        {"text": utc.isoformat().replace("+00:00", "Z")},
        {"utc": str(utc.replace(tzinfo=None))},
        {"utc": utc.isoformat()},
        {"utc": utc.isoformat().replace("+00:00", "Z"), "timezone": "Asia/Tokyo"},
        *({"text": utc.astimezone(ZoneInfo(other)).isoformat()} for other in NAMED),
        *({"text": utc.astimezone(ZoneInfo(other)).isoformat(), "timezone": "Asia/Tokyo"} for other in NAMED),
        *({"text": local(moment, other), "timezone": other} for other in NAMED),
    ]  # fmt: skip
    assert [read(**form) for form in forms] == [pytest.approx(moment, abs=1e-6)] * len(forms)


def test_timestamp_stands_where_the_others_differ(machine: Callable[[str], None]) -> None:
    machine("Asia/Kolkata")
    other = {"text": "2001-01-01 00:00:00", "utc": "2002-01-01 00:00:00", "timezone": "Europe/Madrid"}
    assert read(timestamp="1795340026.84", **other) == 1795340026.84
    assert read(**other) == datetime(2002, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("written", "hours"),
    [("UTC", 0), ("utc", 0), ("GMT", 0), ("Z", 0), ("Etc/UTC", 0), ("+01:00", 1), ("+0100", 1), ("+1", 1),
     ("-03:30", -3.5), ("UTC+2", 2), ("UTC-05:00", -5), ("GMT+1", 1), (" +01:00 ", 1), ("CET", 1), ("", 5), (None, 5)],
)  # fmt: skip
def test_zone_is_a_name_or_an_offset_and_else_the_machines(
    machine: Callable[[str], None], written: str | None, hours: float
) -> None:
    machine("XXX-5")
    there = datetime.fromtimestamp(MOMENT, UTC) + timedelta(hours=hours)
    assert read(text=str(there.replace(tzinfo=None)), timezone=written) == pytest.approx(MOMENT, abs=1e-6)


UNKNOWN = [
    "CEST",
    "Mars/Phobos",
    "Europe",
    "../UTC",
    "/etc/passwd",
    "\x00",
    "x" * 5000,
    "+25:00",
    "+1:99",
    "é",
    "posix/../x",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_zone_that_is_not_known_here_lets_the_slot_begin_now(name: str) -> None:
    assert read(text="2026-11-22 10:33:46", timezone=name) is None
    assert read(text="2026-11-22T10:33:46+01:00", timezone=name) == 1795340026
    assert read(utc="2026-11-22 09:33:46", timezone=name) == 1795340026
    assert read(text="2026-11-22 10:33:46", timestamp=MOMENT, timezone=name) == MOMENT


def test_nothing_said_is_now() -> None:
    assert read() is None
    assert read(text=None, timestamp=None, utc=None, timezone="Europe/Madrid") is None


# -- changes of the clock


def around(change: datetime) -> list[float]:
    return [change.timestamp() + minutes * 60 for minutes in range(-150, 151, 10)]


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize("late", [0.0, 3.0, 600.0])
def test_local_time_is_read_right_across_a_change(
    machine: Callable[[str], None], zone: str, change: datetime, late: float
) -> None:
    machine(zone)
    for moment in around(change):
        assert read(text=local(moment), now=moment + late) == moment
        assert read(text=local(moment), now=moment - late) == moment
    machine("Asia/Kolkata")
    for moment in around(change):
        assert read(text=local(moment, zone), timezone=zone, now=moment + late) == moment


@pytest.mark.parametrize("zone", [None, "Europe/Madrid"])
def test_hour_that_comes_twice_is_the_one_nearest_to_now(machine: Callable[[str], None], zone: str | None) -> None:
    machine("Europe/Madrid" if zone is None else "UTC")
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1))
    for moment, nows in ((first, (0, first - 1, first + 1500)), (second, (second - 1500, second + 1, 2e9))):
        for now in nows:
            assert read(text="2026-10-25 02:30:00", timezone=zone, now=now) == moment


@pytest.mark.parametrize("zone", [None, "Europe/Madrid"])
def test_hour_that_is_missing_is_read_nearest_to_now(machine: Callable[[str], None], zone: str | None) -> None:
    machine("Europe/Madrid" if zone is None else "UTC")
    early, late = (datetime(2026, 3, 29, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1))
    for moment, now in ((early, early + 60), (late, late - 60), (late, late + 60)):
        assert read(text="2026-03-29 02:30:00", timezone=zone, now=now) == moment


def test_day_that_is_missing_is_read_nearest_to_now() -> None:
    before, after = (datetime(2011, 12, day, 22, tzinfo=UTC).timestamp() for day in (29, 30))
    for moment, now in ((before, before + 60), (after, after + 60)):
        assert read(text="2011-12-30 12:00:00", timezone="Pacific/Apia", now=now) == moment


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moment=st.integers(946_684_800, 2_145_916_800), zone=st.sampled_from(ZONES), other=st.sampled_from(NAMED),
    late=st.floats(0, 600),
)  # fmt: skip
def test_any_local_time_is_read_right(
    machine: Callable[[str], None], moment: int, zone: str, other: str, late: float
) -> None:
    machine(zone)
    assert read(text=local(moment), now=moment + late) == moment
    assert read(text=local(moment, other), timezone=other, now=moment + late) == moment


IN_A_ZONE = """
from datetime import datetime
from labkit.web.start_request import parse_start
facts = {"request.username": "ada", "priority.queue.slot.length": 60, "priority.queue.slot.start": %r}
print(repr(parse_start({"server_initial_data": facts}, lambda: %r).slot_start))
"""


@pytest.mark.parametrize("zone", ["Europe/Madrid", "Australia/Lord_Howe", "America/New_York"])
def test_process_that_began_in_a_zone_reads_its_local_time(zone: str) -> None:
    moment = next(change for name, change in reversed(CHANGES) if name == zone).timestamp() + 60
    done = subprocess.run(
        [sys.executable, "-c", IN_A_ZONE % (local(moment, zone), moment + 1)],
        env={**os.environ, "TZ": zone}, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (repr(moment), "")


# -- the end


class Stepped(Clock):
    """A machine whose clock was set wrong; what counts the time since its start goes on."""

    def __init__(self, step: float):
        self._step = step

    def now(self) -> float:
        return super().now() + self._step


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    return make(WEBLAB_NO_THREAD=True)


def times(lab: SmallLab, **options: Any) -> tuple[float, float]:
    """Start a session of 600 s. Returns when it began and ends, and looks at what the user is told."""
    answer = lab.post_start(length=600, **options)
    assert answer.status_code == 200, answer.text
    record = lab.read(answer.get_json()["session_id"])
    assert record.now == lab.lab.store.now
    return record.number("start_date"), record.number("max_date")


@pytest.mark.parametrize(
    ("start", "begins", "ends"),
    [(None, 0, 600), (0, 0, 600), (-100, -100, 500), (-700, -700, -100), (50, 0, 600), (10**7, 0, 600),
     (-(10**9), -(10**9), 600 - 10**9)],
)  # fmt: skip
def test_session_ends_after_its_length_from_its_start_or_from_now_whatever_is_earlier(
    lab: SmallLab, start: float | None, begins: float, ends: float
) -> None:
    lab.lab.store.now = MOMENT
    server = {f"{START}.timestamp": None if start is None else MOMENT + start}
    assert times(lab, server=server) == (
        pytest.approx(MOMENT + begins, abs=1e-3),
        pytest.approx(MOMENT + ends, abs=1e-3),
    )


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_local_start_gives_the_right_end_across_a_change(
    lab: SmallLab, machine: Callable[[str], None], zone: str, change: datetime
) -> None:
    machine(zone)
    lab.lab.clock = Stepped(-1e8)  # this machine's own clock has no say in it
    for now in around(change)[::5]:
        lab.weblab.close()
        lab.lab.store.now = now  # and the store's time steps: forward from round to round, then back
        assert times(lab, server={START: local(now - 5)}) == (now - 5, now + 595)
        assert times(lab, server={START: local(now - 5, zone), f"{START}.timezone": zone}) == (now - 5, now + 595)
        assert times(lab, server={f"{START}.timestamp": str(now - 5)}) == (now - 5, now + 595)


def test_session_that_goes_on_through_a_change_keeps_its_length(lab: SmallLab, machine: Callable[[str], None]) -> None:
    machine("Europe/Madrid")
    change = datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()
    lab.lab.store.now = change - 100
    session = lab.start(length=200, server={START: local(change - 100)})
    left = []
    for seconds in (-100, -50, 0, 50, 99, 100):
        lab.lab.store.now = change + seconds
        left.append((lab.read(session).time_left, lab.status(session)))
    assert left == [(200, 5), (150, 5), (100, 5), (50, 5), (1, 1), (0, -1)]


ODD = [
    "0001-01-01T00:00:00+00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59-12:00",
    "2026-11-22 24:00:00", "2026-W47-7", "20261122T093346Z", "2026-11-22", "2026-11-22 09:33:60", "1969-12-31 23:59:59",
]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_odd_date_is_read_or_refused_by_its_key(lab: SmallLab, machine: Callable[[str], None], zone: str) -> None:
    machine(zone)
    lab.lab.store.now = MOMENT
    for key in (START, f"{START}.utc"):
        for written in ODD:
            answer = lab.post_start(length=600, server={key: written})
            if answer.status_code == 200:
                assert lab.read(answer.get_json()["session_id"]).number("max_date") <= MOMENT + 600
            else:
                assert (answer.status_code, answer.get_json()["key"]) == (400, key)


@pytest.mark.parametrize("moment", [-1, -62135596800, 0, 253402300799, "-1.5e9", 4e9])
def test_odd_timestamp_begins_a_session_that_is_over_or_begins_now(lab: SmallLab, moment: Any) -> None:
    lab.lab.store.now = MOMENT
    begins, ends = times(lab, server={f"{START}.timestamp": moment})
    assert begins == min(float(moment), MOMENT)
    assert ends == begins + 600


def test_store_time_that_steps_between_two_starts_counts_for_each(lab: SmallLab) -> None:
    for now in (MOMENT, MOMENT + 3600, MOMENT - 3600):
        lab.lab.store.now = now
        assert times(lab) == (pytest.approx(now, abs=1e-3), pytest.approx(now + 600, abs=1e-3))
