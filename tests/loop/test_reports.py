"""What runners say on its way to listeners: each change once, in order, and nobody waits for a slow listener."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.errors import StoreUnavailableError
from labkit.loop.reports import Reports
from labkit.plugin import DeviceEvent
from labkit.store.connection import Store
from labkit.store.reservations import Reservations
from tests.toy import GUARD, wait_until


class Runner:
    """What of a runner is announced."""

    def __init__(self, name: str):
        self.name = name
        self.changes: deque[DeviceEvent] = deque()

    def change(self, condition: str) -> None:
        self.changes.append(DeviceEvent(at=1.0, device=self.name, before="ok", condition=condition))


def test_who_reports_while_a_listener_is_busy_does_not_wait_and_nothing_is_lost(store: Store) -> None:
    heard: list[tuple[str, str]] = []
    at_it, gate = threading.Event(), threading.Event()

    def listen(event: DeviceEvent) -> None:
        heard.append((event.device, event.condition))
        at_it.set()
        assert gate.wait(GUARD)

    reports = Reports(Reservations(store), listen)
    first: Any = Runner("bench-1/leds")
    second: Any = Runner("bench-1/console")
    first.change("faulty")
    thread = threading.Thread(target=reports.announce, args=(first,), name="first")
    thread.start()
    assert at_it.wait(GUARD)
    second.change("offline")
    reports.announce(second)  # returns at once
    second.change("ok")
    reports.announce(second)
    assert heard == [("bench-1/leds", "faulty")]
    gate.set()
    thread.join(GUARD)
    wait_until(lambda: len(heard) == 3, "all changes")
    assert heard[1:] == [("bench-1/console", "offline"), ("bench-1/console", "ok")]


def test_without_a_listener_changes_are_not_kept(store: Store) -> None:
    reports = Reports(Reservations(store), None)
    runner: Any = Runner("bench-1/leds")
    runner.change("faulty")
    reports.announce(runner)
    assert not runner.changes
    assert not reports._events


@pytest.mark.parametrize("moment", ["before", "after"])
def test_word_that_did_not_arrive_is_wanted_again_also_where_another_thread_told_one_meanwhile(moment: str) -> None:
    """Another thread tells right before or right after this one has the runner to itself; the later one fails."""
    answers = deque(["arrives", "fails"])

    class Away:
        def report(self, *facts: object) -> bool:
            if answers.popleft() == "fails":
                raise StoreUnavailableError("The store is away.")
            return True

    class Told(Runner):
        condition, facts = "ok", ("ok", "", 0, "")
        meanwhile: Callable[[], object] | None = None

        def another(self) -> None:
            act, self.meanwhile = self.meanwhile, None
            if act is not None:
                act()

        @property
        @contextlib.contextmanager
        def telling(self) -> Iterator[None]:
            if moment == "before":
                self.another()
            yield
            if moment == "after":
                self.another()

    store: Any = Away()
    bench: Any = SimpleNamespace(name="bench-1", claim=1)
    runner: Any = Told("bench-1/leds")
    reports = Reports(store, None)
    runner.meanwhile = lambda: reports.tell(runner, bench)
    reports.tell(runner, bench)
    assert reports.unsaid() == [runner]
