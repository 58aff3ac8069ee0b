"""What the relay shows a page of its session: each change once, its devices, its end; and nothing of others."""

from __future__ import annotations

import pytest

from labkit.store.reservations import Condition
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from labkit.web.relay import Relay
from tests.store.feed_bench import FEED, GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.viewer import Viewers, view
from tests.web.viewer import relay as relay
from tests.web.viewer import viewers as viewers


def test_a_page_is_shown_its_session_and_each_change_once(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, _ = bench.start(length=600)
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    shown = viewers.events("a", "session")[0]
    assert (shown["state"], shown["reason"]) == ("active", "")
    assert 550 < shown["time_left"] <= 600
    assert shown["max_date"] - shown["now"] == pytest.approx(shown["time_left"])
    bench.end(session, EndReason.TIME)
    bench.finish(session)
    wait_until(lambda: len(viewers.events("a", "session")) == 3)
    assert [(s["state"], s["reason"], s["time_left"]) for s in viewers.events("a", "session")[1:]] == [
        ("ending", "time", 0.0),
        ("expired", "time", 0.0),
    ]


def test_a_logout_is_shown_at_once(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, _ = bench.start()
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    bench.sessions.exit(session)
    wait_until(lambda: len(viewers.events("a", "session")) == 2)
    shown = viewers.events("a", "session")[1]
    assert (shown["state"], shown["reason"], shown["time_left"]) == ("ending", "logout", 0.0)


def test_a_device_that_comes_back_or_goes_is_shown(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, _ = bench.start()
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    bench.report(0, Condition.OFFLINE, "unplugged")
    wait_until(lambda: viewers.events("a", "device"))
    shown = viewers.events("a", "device")[0]
    assert (shown["device"], shown["condition"], shown["reason"]) == (bench.device, "offline", "unplugged")


def test_a_page_that_comes_later_is_shown_what_has_happened_to_devices(
    bench: FeedBench, relay: Relay, viewers: Viewers
) -> None:
    session, _ = bench.start()
    bench.report(0, Condition.OFFLINE, "unplugged")
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    (device,) = viewers.events("a", "session")[0]["devices"]
    assert (device["device"], device["condition"], device["reason"]) == (bench.device, "offline", "unplugged")
    assert viewers.events("a", "session")[0]["tasks"] == []


def test_more_has_happened_than_one_read_brings(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, _ = bench.start()
    for number in range(150):
        bench.report(0, Condition.OFFLINE, f"reason {number}")
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    assert viewers.events("a", "session")[0]["devices"][0]["reason"] == "reason 149"


def test_feeds_stop_with_the_session_and_its_page_is_let_go(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "a", session)
    bench.write(fence, b"mine", 4)
    wait_until(lambda: viewers.bytes_of("a") == b"mine")
    bench.end(session)
    wait_until(lambda: len(viewers.events("a", "session")) == 2)
    assert relay.subscribed("a") == 0
    assert not relay.subscribe("a", bench.device, FEED, None)
    assert viewers.dropped == []
    bench.finish(session)
    wait_until(lambda: viewers.dropped == ["a"])
    assert viewers.names("a") == ["session", "feed", "session", "device", "session"]


def test_two_sessions_hear_nothing_of_each_other(server: StoreServer, viewers: Viewers) -> None:
    one = FeedBench(server.url, bench="bench-1")
    two = FeedBench(server.url, bench="bench-2", prefix=one.store.keys.prefix)
    with one, two:
        relay = Relay(one.feeds, one.sessions, viewers.send, viewers.drop)
        (first, fence_1), (second, fence_2) = one.start(), two.start()
        view(relay, one, "a", first)
        view(relay, two, "b", second)
        relay.subscribe("b", one.device, FEED, None)  # guessing the other one's device is of no use
        one.write(fence_1, b"of one", 6)
        two.write(fence_2, b"of two", 6)
        wait_until(lambda: viewers.bytes_of("a") == b"of one" and viewers.bytes_of("b") == b"of two")
        one.end(first)
        wait_until(lambda: len(viewers.events("a", "session")) == 2)
        two.write(fence_2, b"!", 7)
        wait_until(lambda: viewers.bytes_of("b") == b"of two!")
        assert len(viewers.events("b", "session")) == 1
        relay.close(GUARD)


def test_a_session_that_is_unknown_lets_its_page_go(relay: Relay, viewers: Viewers) -> None:
    relay.watch("a", "no-such-session")
    wait_until(lambda: viewers.dropped == ["a"])
    assert viewers.events("a", "session")[0]["state"] == "expired"
