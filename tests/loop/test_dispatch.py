"""The thread that takes calls out of the store: it asks for the next one ahead, and loses none of them at its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from labkit.loop.dispatch import Dispatch
from labkit.loop.own_calls import OwnCalls
from labkit.process import LabProcess
from labkit.store.calls import Call, Calls, Reply, Submitted
from labkit.store.connection import Store
from labkit.store.processes import Processes
from tests.store.table import Table
from tests.toy import GUARD, wait_until

DEVICE = "bench-1/console"


class Taken:
    """Stands for a runner: remembers the calls that it is given. `free`: while it is not set, the thread is kept."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.free = threading.Event()
        self.free.set()

    def submit(self, call: Call) -> bool:
        self.calls.append(call)
        assert self.free.wait(GUARD)
        return True


class Bench:
    """A dispatch on a real store, and a session that calls."""

    def __init__(self, store: Store):
        self.table = Table(store)
        self.table.host("bench-1")
        self.fence = self.table.fence(self.table.active())
        self.claims = dict(self.table.claims)
        self.taken = taken = Taken()
        own = OwnCalls(LabProcess(Processes(store), "pi-1"), lambda call: None)
        self.dispatch = Dispatch(Calls(store), lambda: dict(self.claims), lambda call: taken, own)  # type: ignore
        self.thread = self.dispatch.thread()

    def submit(self, word: str) -> tuple[Call, Submitted]:
        call = Call(device=DEVICE, command="write", fence=self.fence, until=self.table.now + 5, args=[word])
        sent = self.table.calls.submit(call)
        assert isinstance(sent, Submitted)
        return call, sent

    @property
    def words(self) -> list[str]:
        return [call.args[0] for call in self.taken.calls]

    def stop(self) -> None:
        self.thread.stop()
        self.thread.join(GUARD)
        assert not self.thread.is_alive()


@pytest.fixture
def bench(store: Store) -> Iterator[Bench]:
    """For the tests of a module that imports it; its thread ends with the test."""
    bench = Bench(store)
    yield bench
    bench.taken.free.set()
    if bench.thread.is_alive():
        bench.stop()


def test_calls_are_handed_over_in_order(bench: Bench) -> None:
    bench.thread.start()
    words = [f"word-{number}" for number in range(20)]
    for word in words:
        bench.submit(word)
    wait_until(lambda: len(bench.words) == 20, "all calls")
    bench.stop()
    assert bench.words == words


def test_thread_that_has_ended_takes_nothing_any_more(bench: Bench) -> None:
    """Though it had asked for the next call already."""
    bench.thread.start()
    bench.submit("first")
    wait_until(lambda: bench.words, "the first call")
    bench.stop()
    call, sent = bench.submit("late")
    assert bench.table.calls.watch(call, sent, withdraw=True)[1]
    assert bench.words == ["first"]


def test_call_that_was_asked_for_is_handed_over_though_the_thread_is_to_end(bench: Bench) -> None:
    """It has left the store, so nobody else can find it; and no other one is asked for."""
    stopping = threading.Event()
    stopping.set()
    with contextlib.closing(Calls(bench.table.store).inbox("wake")) as inbox:
        inbox.ask(bench.claims, GUARD)
        bench.submit("asked for")
        bench.dispatch._take(inbox, stopping)
        assert not inbox.asked
    assert bench.words == ["asked for"]


def test_call_that_it_has_not_asked_for_stays_in_the_store(bench: Bench) -> None:
    bench.taken.free.clear()
    bench.thread.start()
    bench.submit("first")
    wait_until(lambda: bench.words, "the first call")
    call, sent = bench.submit("second")
    bench.thread.stop()
    bench.taken.free.set()
    bench.stop()
    assert bench.table.calls.watch(call, sent, withdraw=True)[1]
    assert bench.words == ["first"]


def test_it_follows_its_claims(bench: Bench) -> None:
    claimed, bench.claims = bench.claims, {}
    bench.thread.start()
    call, sent = bench.submit("too early")
    assert bench.table.calls.watch(call, sent, withdraw=True)[1]
    bench.claims = claimed
    bench.dispatch.wake()
    bench.submit("first")
    wait_until(lambda: bench.words, "the call")
    bench.stop()
    assert bench.words == ["first"]


def test_reply_that_nobody_foresaw_to_fail_is_said_and_harms_no_device(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the library has a fault")

    monkeypatch.setattr(Calls, "reply", fail)
    call, _ = bench.submit("first")
    bench.dispatch.reply(call, Reply(value="done"))
    assert "reply lost device=bench-1/console command=write" in caplog.text
