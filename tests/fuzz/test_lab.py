"""The look at what an input has changed: it finds a change of any key, and knows one that the lab itself has made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from labkit.testing.store import StoreServer
from tests.fuzz.lab import CHANGE, FuzzedLab
from tests.toy import wait_until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[FuzzedLab]:
    with FuzzedLab(tmp_path_factory.mktemp("lab"), store_server.url) as lab:
        yield lab.ready()


def taken_for_dead(lab: FuzzedLab) -> None:
    """What comes of a machine that gives the lab no time for four seconds."""
    process = lab.lab.process
    name = process.id
    lab.lab.store.command("ZREM", lab.lab.store.keys["processes"], name)
    process.nudge()
    wait_until(lambda: process.id != name, "a new name")
    wait_until(lab._changed, "what its host does then by itself")


CHANGES: dict[str, Callable[[FuzzedLab], tuple[str, ...]]] = {
    "conditions": lambda lab: ("HSET", lab.lab.store.keys["conditions"], "bench-9/toy", "faulty 1 lab it is broken"),
    "sleeping": lambda lab: ("RPUSH", lab.lab.store.keys["sleeping"], f"runner {lab.lab.process.id}"),
    "running": lambda lab: ("HSET", lab.lab.store.keys["running"], "task", lab.lab.process.id),
    "events:": lambda lab: ("XADD", lab.lab.store.keys.of("events", lab.live), "*", "state", "ending"),
    "bench_log:": lambda lab: ("XADD", lab.lab.store.keys.of("bench_log", "bench-1"), "*", "what", "drained"),
    "session:": lambda lab: ("HSET", lab.lab.store.keys.of("session", lab.live), "step", "tasks"),
    "reply:": lambda lab: ("RPUSH", lab.lab.store.keys.of("reply", "call"), "1"),
}
"""Key -> a command that changes it."""


@contextlib.contextmanager
def changed(lab: FuzzedLab, key: str) -> Iterator[None]:
    """Inside the block a key is another one."""
    ask, (verb, name, *arguments) = lab.lab.store.command, CHANGES[key](lab)
    before = ask("DUMP", name)
    ask(verb, name, *arguments)
    try:
        yield
    finally:
        ask("DEL", name)
        if before:
            ask("RESTORE", name, 0, before)


@pytest.mark.parametrize("key", CHANGES)
def test_a_change_of_any_key_is_found(lab: FuzzedLab, key: str) -> None:
    before = lab.wrong[CHANGE]
    with changed(lab, key), pytest.raises(AssertionError, match=f"changed: {key}"):
        lab.unchanged()
    assert lab.wrong[CHANGE] == before + 1
    lab.unchanged()


def test_a_lab_that_was_taken_for_dead_has_changed_nothing_but_what_is_its_own(lab: FuzzedLab) -> None:
    before = lab.starved
    taken_for_dead(lab)
    lab.unchanged()
    assert lab.starved == before + 1
    lab.unchanged()


def test_who_was_taken_for_dead_is_no_excuse_for_a_change_of_anything_else(lab: FuzzedLab) -> None:
    taken_for_dead(lab)
    with changed(lab, "session:"), pytest.raises(AssertionError, match=r"changed: .*session:"):
        lab.unchanged()
    lab.unchanged()
