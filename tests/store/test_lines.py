"""Conversations with the store: answers come in order, and none of them to somebody else."""

from __future__ import annotations

import threading

import pytest
from redis.exceptions import ResponseError

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.pool import command
from labkit.testing.store import StoreServer
from tests.toy import GUARD, wait_until


def test_answers_come_in_the_order_of_the_commands(store: Store) -> None:
    line = store.line()
    line.send(command(["ECHO", "one"]) + command(["ECHO", "two"]))
    assert [line.read(), line.read()] == [b"one", b"two"]
    line.give_back()


def test_error_is_an_answer_too_and_the_line_goes_on(store: Store) -> None:
    line = store.line()
    line.send(command(["NO-SUCH-COMMAND"]) + command(["ECHO", "next"]))
    with pytest.raises(ResponseError):
        line.read()
    assert line.read() == b"next"
    line.give_back()


def test_answer_that_nobody_waited_for_goes_to_nobody_else(store: Store) -> None:
    store.answer_within(0.05)
    line = store.line()
    store.answer_within(GUARD)
    line.send(command(["BLPOP", store.keys.of("reply", "nobody"), GUARD]) + command(["ECHO", "late"]))
    with pytest.raises(StoreUnavailableError):
        line.read()
    line.close()
    store.command("RPUSH", store.keys.of("reply", "nobody"), "for nobody")  # with which it would be answered now
    for word in ("first", "second"):
        other = store.line()
        other.send(command(["ECHO", word]))
        assert other.read() == word.encode()
        other.give_back()


def test_line_is_had_by_one_at_a_time(store: Store) -> None:
    first, second = store.line(), store.line()
    second.send(command(["ECHO", "second"]))
    first.send(command(["ECHO", "first"]))
    assert (first.read(), second.read()) == (b"first", b"second")
    first.give_back()
    first.give_back()  # twice is fine, and nobody gets it twice
    third, fourth = store.line(), store.line()
    third.send(command(["ECHO", "third"]))
    fourth.send(command(["ECHO", "fourth"]))
    assert (third.read(), fourth.read()) == (b"third", b"fourth")
    for line in (second, third, fourth):
        line.give_back()
        line.close()  # not any more: it is the next one's


def test_store_that_is_closed_ends_who_waits(store_server: StoreServer) -> None:
    store, failures = Store(store_server.url, "test-lines"), list[Exception]()
    line, sent = store.line(), threading.Event()

    def wait() -> None:
        try:
            line.send(command(["BLPOP", store.keys.of("reply", "nobody"), GUARD]))
            sent.set()
            line.read(GUARD)
        except StoreUnavailableError as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert sent.wait(GUARD)
    store.close()
    thread.join(GUARD)
    assert failures


def test_conversation_never_goes_on_by_another_connection(store_server: StoreServer) -> None:
    """WAIT, say, would tell of replicas that have what this other one has written: nothing."""
    store = Store(store_server.url, "test-lines")
    line = store.line()
    line.send(command(["ECHO", "one"]))
    assert line.read() == b"one"
    store._look_anew()  # as another thread does that finds out that the master has moved
    with pytest.raises(StoreUnavailableError):
        line.send(command(["ECHO", "two"]))
    line.close()
    store.close()


def test_line_to_a_store_that_is_not_there_says_that_nothing_was_sent() -> None:
    with StoreServer() as server:
        store = Store(server.url, "lab")
        store.command("PING")
        server.stop()
        wait_until(lambda: server.pid == 0, "the end of the store")
        with pytest.raises(StoreUnavailableError) as error:
            store.line()
        assert not error.value.sent
        store.close()
