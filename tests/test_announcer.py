"""The announcer: plugins hear of events in order, a bad one hinders nobody, and nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pluggy
import pytest

from labkit import announcer as announcer_module
from labkit.announcer import Announcer, Event
from labkit.devices.plugins import hook_manager
from labkit.plugin import DeviceEvent, SessionEvent, hookimpl
from tests.toy import GUARD, NoThread, wait_until

STARTED = SessionEvent(at=1.0, session="3f9a", username="ada", benches=("bench-1",))
ENDED = SessionEvent(at=2.0, session="3f9a", username="ada", benches=("bench-1",), reason="time")
CHANGED = DeviceEvent(at=3.0, device="bench-1/console", before="ok", condition="offline", reason="unplugged")


def plugin(**hooks: Callable[..., Any]) -> Any:
    """A plugin with these hooks, as a module has them."""
    return type("Plugin", (), {name: staticmethod(hookimpl(function)) for name, function in hooks.items()})


CountEvents = Callable[[], list[threading.Thread]]


@pytest.fixture
def threads_of_events() -> CountEvents:
    """Gives the threads that tell events, but for those that are another test's and have not come to their end yet."""
    before = set(threading.enumerate())
    return lambda: [thread for thread in set(threading.enumerate()) - before if thread.name == "events"]


@pytest.fixture
def manager() -> pluggy.PluginManager:
    return hook_manager()


@pytest.fixture
def announcer(manager: pluggy.PluginManager) -> Iterator[Announcer]:
    made = Announcer(lambda: manager, limit=5)
    yield made
    made.close(0.0)


@pytest.fixture
def heard(manager: pluggy.PluginManager) -> list[tuple[str, Event]]:
    """What a good plugin hears: (hook, event)."""
    found: list[tuple[str, Event]] = []

    def started(event: Event) -> None:
        found.append(("started", event))

    def ended(event: Event) -> None:
        found.append(("ended", event))

    def changed(event: Event) -> None:
        found.append(("changed", event))

    manager.register(
        plugin(labkit_session_started=started, labkit_session_ended=ended, labkit_device_changed=changed), "good"
    )
    return found


def test_each_event_reaches_its_hook_in_order(announcer: Announcer, heard: list[tuple[str, Event]]) -> None:
    for event in (STARTED, CHANGED, ENDED):
        announcer.announce(event)
    announcer.close(GUARD)
    assert heard == [("started", STARTED), ("changed", CHANGED), ("ended", ENDED)]


def test_closed_announcer_has_no_thread_and_begins_anew(
    announcer: Announcer, heard: list[tuple[str, Event]], threads_of_events: CountEvents
) -> None:
    for _ in range(2):
        announcer.announce(STARTED)
        announcer.close(GUARD)
        announcer.close(GUARD)
        assert threads_of_events() == []
    assert heard == [("started", STARTED)] * 2


def test_event_for_which_no_thread_can_be_had_is_told_with_the_next(
    announcer: Announcer, heard: list[tuple[str, Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crowded:
        crowded.setattr(announcer_module, "LabThread", NoThread)
        announcer.announce(STARTED)  # and who has started a session is not hurt
    announcer.announce(ENDED)
    announcer.close(GUARD)
    assert heard == [("started", STARTED), ("ended", ENDED)]


def test_no_thread_begins_where_no_plugin_hears_of_it(
    announcer: Announcer, manager: pluggy.PluginManager, threads_of_events: CountEvents
) -> None:
    manager.register(plugin(labkit_device_changed=lambda event: None), "devices only")
    announcer.announce(STARTED)
    assert threads_of_events() == []


def test_who_announces_does_not_wait_for_plugins_that_are_not_loaded_yet(
    manager: pluggy.PluginManager, heard: list[tuple[str, Event]]
) -> None:
    loading, gate = threading.Event(), threading.Event()

    def load() -> pluggy.PluginManager:
        loading.set()
        assert gate.wait(GUARD)
        return manager

    announcer = Announcer(load, known=lambda: manager if gate.is_set() else None)
    announcer.announce(STARTED)
    assert loading.wait(GUARD)
    announcer.announce(ENDED)
    assert heard == []
    gate.set()
    announcer.close(GUARD)
    assert heard == [("started", STARTED), ("ended", ENDED)]


@pytest.mark.parametrize("error", [SystemExit("a plugin that ends the process"), asyncio.CancelledError()], ids=repr)
def test_hook_that_raises_is_logged_with_its_plugin_and_hinders_no_other(
    error: BaseException,
    announcer: Announcer,
    manager: pluggy.PluginManager,
    heard: list[tuple[str, Event]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def bad(event: Event) -> None:
        raise error

    manager.register(plugin(labkit_session_started=bad), "bad 1.0")
    announcer.announce(STARTED)
    announcer.announce(ENDED)
    announcer.close(GUARD)
    assert [name for name, _ in heard] == ["started", "ended"]
    said = [record.message for record in caplog.records if record.name == "labkit.events"]
    assert said == ["plugin failed plugin=bad 1.0 hook=labkit_session_started"]


def test_full_queue_drops_what_comes_and_says_how_much(
    announcer: Announcer, manager: pluggy.PluginManager, caplog: pytest.LogCaptureFixture
) -> None:
    begun, gate, told = threading.Event(), threading.Event(), []

    def slow(event: Event) -> None:
        begun.set()
        assert gate.wait(GUARD)
        told.append(event)

    manager.register(plugin(labkit_session_started=slow), "slow")
    announcer.announce(STARTED)
    assert begun.wait(GUARD)
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            announcer.announce(STARTED)
        gate.set()
        wait_until(lambda: "events caught up dropped=3" in caplog.messages, "the word that it caught up")
    assert len(told) == 6
    assert "events are dropped: a plugin is slow waiting=5" in caplog.messages


def test_plugin_that_hangs_does_not_hold_the_end_up(
    announcer: Announcer,
    manager: pluggy.PluginManager,
    caplog: pytest.LogCaptureFixture,
    threads_of_events: CountEvents,
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def hang(event: Event) -> None:
        begun.set()
        assert gate.wait(GUARD)

    manager.register(plugin(labkit_session_started=hang), "hanging")
    announcer.announce(STARTED)
    announcer.announce(STARTED)
    assert begun.wait(GUARD)
    left = threads_of_events()
    announcer.close(0.05)
    assert "events were not told: a plugin is slow count=1" in caplog.messages
    gate.set()
    for thread in left:
        thread.join(GUARD)


def test_forked_child_tells_its_own_events_and_not_its_parents(
    announcer: Announcer, manager: pluggy.PluginManager
) -> None:
    read, write = os.pipe()
    begun, gate, parent = threading.Event(), threading.Event(), os.getpid()

    def tell(event: Event) -> None:
        if os.getpid() == parent:
            begun.set()
            assert gate.wait(GUARD)
        else:
            os.write(write, type(event).__name__.encode())

    manager.register(plugin(labkit_session_started=tell, labkit_device_changed=tell), "forked")
    announcer.announce(STARTED)
    announcer.announce(STARTED)
    assert begun.wait(GUARD)
    child = os.fork()
    if not child:
        announcer.announce(CHANGED)
        announcer.close(GUARD)
        os._exit(0)
    gate.set()
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as told:
        assert told.read() == b"DeviceEvent"
