"""From a driver's thread to the store: order, fences, a store that goes away, memory that does not grow."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.errors import NotStorableError, StoreUnavailableError
from labkit.loop import feeds as feeds_module
from labkit.loop.feeds import BACKLOG_BYTES, BATCH_BYTES, FeedOutlet
from labkit.plugin import Feed
from labkit.store.feeds import FeedBatch, FeedId, FeedStore
from labkit.testing.store import StoreServer
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.toy import NoThread

EPOCH = 7


class Outlets:
    """Makes outlets and closes them."""

    def __init__(self) -> None:
        self._made: list[FeedOutlet] = []

    def make(self, store: Any, device: str = "bench-1/console", epoch: int = EPOCH) -> FeedOutlet:
        feeds = {"received": Feed(bytes), "lines": Feed(bytes), "state": Feed(dict[str, int])}
        outlet = FeedOutlet(store, device, feeds, epoch)
        self._made.append(outlet)
        return outlet

    def close(self) -> None:
        for outlet in self._made:
            outlet.close()


@pytest.fixture
def outlets() -> Iterator[Outlets]:
    outlets = Outlets()
    yield outlets
    outlets.close()


class Gate:
    """A store's feeds that can be held up, or be away, and remember what was asked of them."""

    def __init__(self, feeds: FeedStore | None = None):
        self._feeds = feeds
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.asked: list[FeedBatch] = []

    def write(self, batch: FeedBatch) -> str:
        self.asked.append(batch)
        assert self.open.wait(GUARD)
        if self.away:
            raise StoreUnavailableError("away")
        return self._feeds.write(batch) if self._feeds is not None else "kept"


def held(gate: Gate, outlet: FeedOutlet) -> None:
    """Hold up the writer in the middle of a first batch of one byte."""
    gate.open.clear()
    outlet.emit("received", b"!")
    wait_until(lambda: gate.asked, "the first batch")


# -- from end to end


def test_what_is_given_is_in_the_store(bench: FeedBench, outlets: Outlets) -> None:
    session, fence = bench.start()
    outlet = outlets.make(bench.feeds)
    outlet.fence = fence
    outlet.emit("received", b"hello ")
    outlet.emit("received", b"world")
    assert outlet.flush(GUARD)
    pieces = bench.feeds.read(bench.feed(session), None)
    assert b"".join(piece.data for piece in pieces) == b"hello world"
    assert str(pieces[-1].cursor) == f"{EPOCH}:11"
    assert {piece.lost for piece in pieces} == {0}


def test_bytes_of_many_threads_are_all_there_and_each_threads_in_order(bench: FeedBench, outlets: Outlets) -> None:
    session, fence = bench.start()
    outlet = outlets.make(bench.feeds)
    outlet.fence = fence

    def give(mark: int) -> None:
        for number in range(500):
            outlet.emit("received", bytes([mark, number % 256]))

    threads = [threading.Thread(target=give, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert outlet.flush(GUARD)
    data = b"".join(piece.data for piece in bench.feeds.read(bench.feed(session), None, 100_000))
    pairs = [(data[i], data[i + 1]) for i in range(0, len(data), 2)]
    for mark in range(4):
        assert [number for m, number in pairs if m == mark] == [n % 256 for n in range(500)]


def test_states_arrive_as_values_and_bytes_of_another_feed_beside_them(bench: FeedBench, outlets: Outlets) -> None:
    session, fence = bench.start()
    outlet = outlets.make(bench.feeds)
    outlet.fence = fence
    for number in range(3):
        outlet.emit("state", {"red": number})
        outlet.emit("received", b"x")
    assert outlet.flush(GUARD)
    state = FeedId(session_id=session, device=bench.device, feed="state")
    assert [piece.data for piece in bench.feeds.read(state, None)] == [{"red": 0}, {"red": 1}, {"red": 2}]
    assert b"".join(piece.data for piece in bench.feeds.read(bench.feed(session), None)) == b"xxx"


# -- fences


def test_without_a_reservation_bytes_are_counted_and_not_kept(bench: FeedBench, outlets: Outlets) -> None:
    outlet = outlets.make(bench.feeds)
    outlet.emit("received", b"nobody's")
    session, fence = bench.start()
    outlet.fence = fence
    outlet.emit("received", b"mine")
    outlet.fence = 0
    outlet.emit("received", b"nobody's")
    assert outlet.flush(GUARD)
    assert [(str(p.cursor), p.data, p.lost) for p in bench.feeds.read(bench.feed(session), None)] == [
        (f"{EPOCH}:12", b"mine", 0)
    ]


def test_what_waits_keeps_the_fence_under_which_it_came(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    outlet.emit("received", b"of one")
    outlet.fence = 2
    outlet.emit("received", b"of two")
    outlet.fence = 0
    outlet.emit("received", b"of nobody")
    outlet.fence = 3
    outlet.emit("received", b"of three")
    gate.open.set()
    assert outlet.flush(GUARD)
    assert [(b.fence, bytes(b.data), b.end.offset, b.first) for b in gate.asked if isinstance(b.data, bytearray)] == [
        (1, b"!", 1, 0),
        (1, b"of one", 7, 0),
        (2, b"of two", 13, 7),
        (3, b"of three", 30, 22),
    ]


# -- a store that is slow or away


def test_under_load_what_has_gathered_goes_in_few_batches(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    source = bytes(range(256)) * 400
    for byte in source:
        outlet.emit("received", bytes([byte]))
    gate.open.set()
    assert outlet.flush(GUARD)
    batches = [batch.data for batch in gate.asked]
    assert b"".join(bytes(batch) for batch in batches if not isinstance(batch, str)) == b"!" + source
    assert len(batches) <= 2 + len(source) // BATCH_BYTES + 1
    assert max(len(batch) for batch in batches) <= BATCH_BYTES


def test_emit_never_waits_for_the_store(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    given = threading.Event()

    def give() -> None:
        for _ in range(1000):
            outlet.emit("received", bytes(1000))
        given.set()

    threading.Thread(target=give, daemon=True).start()
    assert given.wait(GUARD)
    gate.open.set()


def test_one_batch_is_tried_again_until_the_store_has_it(bench: FeedBench, outlets: Outlets) -> None:
    gate = Gate(bench.feeds)
    session, fence = bench.start()
    outlet = outlets.make(gate)
    outlet.fence = fence
    gate.away = True
    outlet.emit("received", b"patience")
    wait_until(lambda: len(gate.asked) >= 2, "the second try")
    assert not outlet.flush(0.01)
    gate.away = False
    assert outlet.flush(GUARD)
    assert len({(batch.end, bytes(batch.data)) for batch in gate.asked if isinstance(batch.data, bytearray)}) == 1
    assert [p.data for p in bench.feeds.read(bench.feed(session), None)] == [b"patience"]


def test_a_batch_whose_answer_was_lost_is_there_once(bench: FeedBench, outlets: Outlets) -> None:
    class Deaf(Gate):
        def write(self, batch: FeedBatch) -> str:
            answer = super().write(batch)
            if len(self.asked) == 1:
                raise StoreUnavailableError("the answer was lost")
            self.answers.append(answer)
            return answer

        answers: list[str] = []  # noqa: RUF012 - one object of this class

    gate = Deaf(bench.feeds)
    session, fence = bench.start()
    outlet = outlets.make(gate)
    outlet.fence = fence
    outlet.emit("received", b"once")
    assert outlet.flush(GUARD)
    assert gate.answers == ["known"]
    assert [p.data for p in bench.feeds.read(bench.feed(session), None)] == [b"once"]


def test_a_killed_store_loses_what_it_had_and_says_how_much(outlets: Outlets, caplog: pytest.LogCaptureFixture) -> None:
    with StoreServer(append_only=True) as server, FeedBench(server.url) as bench:
        bench.store.command("CONFIG", "SET", "appendfsync", "always")
        session, fence = bench.start()
        outlet = outlets.make(bench.feeds)
        outlet.fence = fence
        outlet.emit("received", b"before")
        assert outlet.flush(GUARD)
        server.stop(signal.SIGKILL)
        with caplog.at_level(logging.WARNING, "labkit.feeds"):
            outlet.emit("received", b"meanwhile")
            wait_until(lambda: "waits for the store" in caplog.text, "the outage")
        server.start()
        assert outlet.flush(GUARD)
        pieces = bench.feeds.read(bench.feed(session), None)
        assert (pieces[0].lost, b"".join(p.data for p in pieces)) == (6, b"meanwhile")
        outlet.close()


def test_memory_is_bounded_and_the_oldest_is_what_goes(outlets: Outlets, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    total = 3 * BACKLOG_BYTES
    for offset in range(0, total, 1000):
        outlet.emit("received", (offset // 1000).to_bytes(4, "big") * 250)
    gate.open.set()
    assert outlet.flush(GUARD)
    batches = [(batch.end.offset, bytes(batch.data)) for batch in gate.asked[1:] if isinstance(batch.data, bytearray)]
    kept = sum(len(data) for _, data in batches)
    assert BACKLOG_BYTES - BATCH_BYTES <= kept <= BACKLOG_BYTES
    given = 1 + len(range(0, total, 1000)) * 1000
    assert batches[-1][0] == given
    assert batches[0][0] - len(batches[0][1]) == given - kept
    assert caplog.text.count("feeds fell behind") == 1
    wait_until(lambda: caplog.text.count("feeds caught up") == 1, "the last line")


def test_a_feed_that_floods_does_not_push_another_one_out(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    outlet.emit("lines", b"quiet and important")
    outlet.emit("state", {"red": 1})
    for _ in range(3 * BACKLOG_BYTES // BATCH_BYTES):
        outlet.emit("received", bytes(BATCH_BYTES))
    gate.open.set()
    assert outlet.flush(GUARD)
    assert {batch.feed for batch in gate.asked[:5]} == {"received", "lines", "state"}


def test_states_that_wait_are_bounded_too(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    held(gate, outlet)
    for number in range(10_000):
        outlet.emit("state", {"n": number})
    gate.open.set()
    assert outlet.flush(GUARD)
    states = [batch for batch in gate.asked if batch.feed == "state"]
    assert len(states) * 256 <= BACKLOG_BYTES
    assert states[-1].end.offset == 10_000


# -- the end


def test_close_writes_what_waits(bench: FeedBench, outlets: Outlets) -> None:
    session, fence = bench.start()
    outlet = outlets.make(bench.feeds)
    outlet.fence = fence
    for _ in range(50):
        outlet.emit("received", b"last words ")
    outlet.close(GUARD)
    assert b"".join(p.data for p in bench.feeds.read(bench.feed(session), None, 1000)) == b"last words " * 50


def test_after_close_nothing_goes_out_and_nothing_is_raised(outlets: Outlets) -> None:
    gate = Gate()
    outlet = outlets.make(gate)
    outlet.fence = 1
    outlet.close()
    outlet.close()
    outlet.emit("received", b"too late")
    assert gate.asked == []


def test_close_ends_while_the_store_is_away(outlets: Outlets) -> None:
    gate = Gate()
    gate.away = True
    outlet = outlets.make(gate)
    outlet.fence = 1
    outlet.emit("received", b"x")
    outlet.close(0.3)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "feeds:bench-1/console"], "the thread's end")


def test_what_came_when_no_thread_could_be_had_is_written_with_the_next(
    bench: FeedBench, outlets: Outlets, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, fence = bench.start()
    outlet = outlets.make(bench.feeds)
    outlet.fence = fence
    with monkeypatch.context() as crowded:
        crowded.setattr(feeds_module, "LabThread", NoThread)
        with pytest.raises(RuntimeError):
            outlet.emit("received", b"first ")
    outlet.emit("received", b"second")
    assert outlet.flush(GUARD)
    assert b"".join(piece.data for piece in bench.feeds.read(bench.feed(session), None)) == b"first second"


def test_an_outlet_that_gives_nothing_has_no_thread(outlets: Outlets) -> None:
    outlet = outlets.make(Gate(), device="bench-9/silent")
    outlet.emit("received", b"between sessions")
    assert not [thread for thread in threading.enumerate() if thread.name == "feeds:bench-9/silent"]


def test_a_value_that_is_no_json_is_the_drivers_error(outlets: Outlets) -> None:
    outlet = outlets.make(Gate())
    outlet.fence = 1
    with pytest.raises(NotStorableError):
        outlet.emit("state", {"n": object()})
