"""What the machines compare after each step: whatever else there is in the store, or otherwise, is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.testing.store import StoreServer
from tests.model.device_steps import DeviceSteps
from tests.model.facts import DEVICES
from tests.model.lab import Lab
from tests.model.seen import NEWEST, Stream
from tests.model.session_steps import SessionSteps


@pytest.fixture
def lab(server: StoreServer) -> Iterator[Lab]:
    """A lab with one bench and a session that has it."""
    lab = Lab(server.url)
    process = lab.new_process("host")
    DeviceSteps(lab).claim("bench-1", process, "here", DEVICES)
    SessionSteps(lab).start(process, "-", 600.0, 0.0)
    yield lab
    lab.close()


def compare(lab: Lab) -> None:
    seen = lab.seen()
    SessionSteps(lab).agree(seen)
    DeviceSteps(lab).agree(seen)
    seen.is_all()


@pytest.mark.parametrize(
    "change",
    [
        'redis.call("RPUSH", start .. "reply:call", "x")',
        'redis.call("RPUSH", start .. "queue", "task")',
        'redis.call("RPUSH", start .. "session_tasks:session-0", "task")',
        'redis.call("HSET", start .. "data:session-1", "a", "1")',
        'redis.call("SET", "what no lab has", "x")',
        'redis.call("EXPIRE", start .. "roles", 1000)',
        'redis.call("ZADD", start .. "processes", 1, "here:0:aa")',
        'redis.call("HSET", start .. "bench_info", "bench-1", "{}")',
        'redis.call("XADD", start .. "events:session-0", "*", "at", "1")',
        'redis.call("XADD", start .. "bench_log:bench-1", "*", "at", "1")',
        'redis.call("XADD", start .. "changes", "*", "news", "due")',
    ],
)
def test_what_the_model_does_not_know_is_noticed(lab: Lab, change: str) -> None:
    compare(lab)
    start = lab.store.keys["lab"].removesuffix("lab")
    lab.store.command("EVAL", f"local start = ARGV[1]; {change}", 0, start)
    with pytest.raises(AssertionError):
        compare(lab)


def test_entries_are_compared_in_their_order_but_for_those_of_one_moment() -> None:
    entries = [{"at": str(number // 2), "what": str(number)} for number in range(NEWEST + 7)]
    swapped = [entries[place ^ 1] if place < NEWEST + 6 else entry for place, entry in enumerate(entries)]
    assert stream(entries).is_end_of(entries)
    assert stream(swapped).is_end_of(entries)
    assert not stream([*entries[:-4], *reversed(entries[-4:])]).is_end_of(entries)
    assert not stream([*entries[:-4], {"at": "", "what": "else"}, *entries[-3:]]).is_end_of(entries)


def stream(entries: list[dict[str, str]]) -> Stream:
    return Stream(added=len(entries), length=len(entries), newest=entries[-NEWEST:])
