"""Events of a page: each is guarded, and one that makes no sense is answered with what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.store.feed_bench import FEED, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import AWAY, SocketLab
from tests.web.socket_lab import lab as lab

WHERE = {"device": "bench-1/console", "feed": FEED}
SENSELESS: list[Any] = [
    None, 5, "text", [], [1], {}, {"device": None}, {"device": 5, "feed": 5}, {"device": "x" * 10_000, "feed": "f"},
    {"device": "bench-1/console"}, {"device": "bench-1/console", "feed": ["f"]}, {"device": "../../x/y", "feed": "f"},
    {**WHERE, "cursor": 5}, {**WHERE, "cursor": "x"}, {**WHERE, "cursor": "1" * 50 + ":0"}, {**WHERE, "feed": "a/b"},
    {"device": "d", "command": 7}, {"device": "d", "command": "c", "args": "x"}, {"device": "d", "command": "a b"},
    {"device": "d", "command": "c", "kwargs": [1]}, {"device": b"\xff", "feed": b"\xff"},
]  # fmt: skip


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe", "ack", "call", "poll", "logout"])
def test_after_the_end_no_handler_runs_and_the_page_is_out(bench: FeedBench, lab: SocketLab, event: str) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    wait_until(lambda: browser.told("session"))
    bench.end(session, EndReason.TIME)
    answer = browser.ask(event, {**WHERE, "command": "write", "cursor": None})
    assert (answer["ok"], answer["error"]["kind"]) == (False, "inactive")
    assert (answer["state"], answer["reason"]) == ("ending", "time")
    assert lab.calls == []
    wait_until(browser.gone.is_set)


def test_a_socket_serves_only_the_session_it_came_in_with(server: StoreServer, lab: SocketLab) -> None:
    session, _ = lab.bench.start()
    browser = lab.enter(session)
    with FeedBench(server.url, bench="bench-2", prefix=lab.bench.store.keys.prefix) as other:
        lab.taken_for, _ = other.start()
    answer = browser.ask("call", {"device": "console", "command": "write"})
    assert (answer["ok"], answer["error"]["kind"]) == (False, "inactive")
    assert lab.calls == []
    wait_until(browser.gone.is_set)


def test_while_the_store_is_away_no_handler_runs_and_the_page_stays(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    lab.broken = AWAY
    answer = browser.ask("call", {"device": "console", "command": "write"})
    assert answer["error"]["kind"] == "StoreUnavailableError"
    assert lab.calls == []
    lab.broken = None
    assert browser.ask("call", {"device": "console", "command": "write"})["ok"]


def test_a_page_whose_session_has_ended_is_told_and_then_disconnected(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    wait_until(lambda: browser.told("session"))
    bench.end(session, EndReason.TIME)
    bench.finish(session)
    wait_until(browser.gone.is_set)
    assert [(s["state"], s["reason"]) for s in browser.told("session")] == [
        ("active", ""), ("ending", "time"), ("expired", "time"),
    ]  # fmt: skip
    wait_until(lambda: repr(lab.sockets).endswith("sockets=0>"))


@pytest.mark.parametrize("event", ["subscribe", "ack", "call"])
def test_senseless_events_are_answered_with_what_is_wrong(bench: FeedBench, lab: SocketLab, event: str) -> None:
    session, _ = bench.start()
    browser = lab.enter(session)
    for value in SENSELESS:
        answer = browser.ask(event, value)
        assert not answer["ok"], value
        assert answer["error"]["kind"] in ("BadRequestError", "UnknownDeviceError"), value
        assert len(answer["error"]["message"]) < 300
    answer = browser.ask(event)
    assert answer["error"]["kind"] == "BadRequestError"
    assert browser.ask(event, {}, {}, {})["error"]["kind"] == "BadRequestError"
    assert browser.ask("poll", {"a": "b"})["ok"]
    assert lab.calls == []


@pytest.mark.parametrize(
    ("value", "key"),
    [({"feed": FEED}, "device"), ({"device": "bench-1/console"}, "feed"), ({**WHERE, "cursor": []}, "cursor")],
)
def test_the_answer_names_the_key_that_is_wrong(
    bench: FeedBench, lab: SocketLab, value: dict[str, Any], key: str
) -> None:
    session, _ = bench.start()
    assert lab.enter(session).ask("subscribe", value)["error"]["message"].startswith(key)


def test_a_message_of_many_megabytes_ends_the_connection_and_nothing_else(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    browser, other = lab.enter(session), lab.enter(session)
    browser.client.emit("call", {"device": "console", "command": "write", "args": ["x" * 5_000_000], "kwargs": {}})
    wait_until(browser.gone.is_set)
    assert lab.calls == []
    assert other.ask("poll")["ok"]
