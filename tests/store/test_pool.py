"""The way of a command to the store: what is sent, on which connection, and what is sent only once."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.errors import StoreUnavailableError
from labkit.store import connection as connection_module
from labkit.store.connection import Store
from labkit.store.pool import command, pack
from labkit.store.processes import Processes
from labkit.testing.store import StoreServer
from labkit.threads import LabThread
from tests.tasks.task_lab import GUARD, wait_until


@pytest.fixture
def own(server: StoreServer) -> Iterator[Store]:
    """A store whose server is this module's, so that its connections may be cut."""
    store = Store(server.url, "pool")
    yield store
    store.close()


def cut(store: Store, kind: str = "normal") -> None:
    """Close all connections, as a server does with those that were silent for too long, or a proxy."""
    store.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def test_arguments_are_packed_as_the_store_reads_them() -> None:
    assert command(["SET", "k", b"\x00\r\n", 7, 1.5]) == (
        b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\x00\r\n\r\n$1\r\n7\r\n$3\r\n1.5\r\n"
    )
    assert pack(["ö", "\ud800", bytearray(b"a")]) == [b"$2\r\n\xc3\xb6\r\n", b"$6\r\n\\ud800\r\n", b"$1\r\na\r\n"]


@pytest.mark.parametrize("nothing", [None, True, ["a"]])
def test_what_is_no_argument_is_refused_before_anything_is_sent(nothing: object) -> None:
    with pytest.raises(TypeError, match="no argument of a command"):
        pack([nothing])  # type: ignore[list-item]


def test_connection_that_was_closed_meanwhile_is_opened_anew(own: Store) -> None:
    assert own.run("session_seen", "nobody") == 0
    own.pop([own.keys["queue"]], 0.01)
    cut(own)
    assert own.run("session_seen", "nobody") == 0
    assert own.pop([own.keys["queue"]], 0.01) is None


def test_connection_that_is_cut_in_the_middle_sends_nothing_again(own: Store) -> None:
    errors: list[StoreUnavailableError] = []

    def wait(_: threading.Event) -> None:
        try:
            own.pop([own.keys["queue"]], GUARD)
        except StoreUnavailableError as error:
            errors.append(error)

    thread = LabThread("waiter", wait)
    thread.start()
    wait_until(lambda: any(client["cmd"] == "blpop" for client in own._client.client_list()))
    cut(own)
    thread.join(GUARD)
    assert len(errors) == 1
    own.command("RPUSH", own.keys["queue"], "x")
    assert own.command("LLEN", own.keys["queue"]) == 1  # nobody waits any more
    own.command("DEL", own.keys["queue"])


def test_closing_wakes_who_waits_and_the_next_use_opens_anew(own: Store) -> None:
    woken = threading.Event()

    def wait(_: threading.Event) -> None:
        with pytest.raises(StoreUnavailableError):
            own.pop([own.keys["queue"]], GUARD)
        woken.set()

    thread = LabThread("waiter", wait)
    thread.start()
    wait_until(lambda: any(client["cmd"] == "blpop" for client in own._client.client_list()))
    own.close()
    own.close()
    assert woken.wait(GUARD)
    thread.join(GUARD)
    assert own.run("session_seen", "nobody") == 0


def test_closing_ends_who_waits_for_several_answers_at_once(own: Store) -> None:
    errors: list[Exception] = []

    def wait(_: threading.Event) -> None:
        try:
            own.answers([("BLPOP", own.keys["queue"], str(GUARD))])
        except Exception as error:
            errors.append(error)

    thread = LabThread("waiter", wait)
    thread.start()
    wait_until(lambda: any(client["cmd"] == "blpop" for client in own._client.client_list()))
    own.close()
    thread.join(GUARD)
    assert [type(error) for error in errors] == [StoreUnavailableError]


def test_closing_bears_a_thread_that_takes_a_connection_meanwhile(own: Store) -> None:
    class Changing(weakref.WeakSet[Any]):
        def __iter__(self) -> Iterator[Any]:
            for number, connection in enumerate(list(super().__iter__())):
                if number == 0 and len(others) < 3:
                    others.append(own._quick.take())  # another thread, in the middle
                    raise RuntimeError("Set changed size during iteration")
                yield connection

    others = [own._quick.take()]
    own._quick._busy = Changing(own._quick._busy)
    own._quick.close()
    assert len(others) == 3
    assert all(connection._sock is None for connection in others)


def test_forked_child_makes_connections_of_its_own(own: Store) -> None:
    assert own.run("session_seen", "nobody") == 0
    before = own.command("CLIENT", "ID")
    child = os.fork()
    if child == 0:
        try:
            own.run("session_seen", "nobody")
            mine = [one.pid == os.getpid() for one, _ in own._quick._free]
            own.close()
            os._exit(0 if mine == [True] else 3)
        finally:
            os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
    assert own.run("session_seen", "nobody") == 0
    assert own.command("CLIENT", "ID") == before


def test_number_of_connections_is_that_of_the_threads_at_once(own: Store) -> None:
    for _ in range(20):
        own.run("session_seen", "nobody")
    assert len(own._quick._free) == 1


def test_connections_that_a_rush_needed_are_closed_by_a_beat_when_nobody_has_used_them_for_a_while(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "IDLE_SECONDS", 600.0)
    rush = [own._quick.take() for _ in range(20)]
    for one in rush:
        own._quick.give_back(one)
    Processes(own).beat("here:1:a", first=True, roles="", highest_fence=0, benches={})
    assert len(own._quick._free) == 20
    monkeypatch.setattr(connection_module, "IDLE_SECONDS", 0.0)
    Processes(own).beat("here:1:a", first=False, roles="", highest_fence=0, benches={})
    assert len(own._quick._free) == 1  # its own
    assert [one._sock is None for one in rush].count(False) <= 1


def test_connection_that_was_just_used_outlives_those_that_were_not(own: Store) -> None:
    idle, used = own._quick.take(), own._quick.take()
    own._quick._free.extend([(idle, time.monotonic() - 1000), (used, time.monotonic())])
    own._quick.tidy(500)
    assert [one for one, _ in own._quick._free] == [used]
    assert (idle._sock is None, used._sock is None) == (True, False)


def test_connections_that_were_closed_do_not_count(server: StoreServer) -> None:
    """redis-py counts all that it made, and would refuse the next one for ever."""
    store = Store(f"{server.url}?max_connections=3", "pool")
    try:
        for _ in range(10):
            assert store.run("session_seen", "nobody") == 0
            store._quick.tidy(0.0)
        assert len(store._quick._free) == 0
    finally:
        store.close()
