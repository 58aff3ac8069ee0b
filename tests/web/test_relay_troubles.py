"""A relay in trouble, and what is left of it: a store that goes away, sockets that break, a thread that ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from labkit.testing.store import StoreServer
from labkit.web.relay import Relay
from tests.store.feed_bench import FEED, GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.viewer import Viewers, view
from tests.web.viewer import relay as relay
from tests.web.viewer import viewers as viewers


@pytest.fixture(autouse=True)
def older() -> Iterator[None]:
    """Other tests' labs may still have a relay in this process."""
    OLDER.update(threading.enumerate())
    yield
    OLDER.clear()


OLDER: set[threading.Thread] = set()


def relay_threads() -> list[threading.Thread]:
    """Those that this test has started."""
    return [thread for thread in threading.enumerate() if thread.name == "relay" and thread not in OLDER]


def test_a_store_that_goes_away_is_told_and_comes_back_without_a_gap(viewers: Viewers) -> None:
    with StoreServer(append_only=True) as server, FeedBench(server.url) as bench:
        bench.store.command("CONFIG", "SET", "appendfsync", "always")
        relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
        session, fence = bench.start()
        view(relay, bench, "a", session)
        bench.write(fence, b"abc", 3)
        wait_until(lambda: viewers.bytes_of("a") == b"abc")
        server.stop()
        wait_until(lambda: viewers.events("a", "store") == [{"ok": False}])
        server.start()
        wait_until(lambda: viewers.events("a", "store") == [{"ok": False}, {"ok": True}])
        bench.write(fence, b"def", 6)
        wait_until(lambda: viewers.bytes_of("a") == b"abcdef")
        bench.write(fence, b"jkl", 12)
        wait_until(lambda: viewers.bytes_of("a") == b"abcdefjkl")
        assert [message["lost"] for message in viewers.events("a", "feed")] == [0, 0, 3]
        assert viewers.events("a", "session")[-1]["state"] == "active"
        relay.close(GUARD)


def test_a_thousand_pages_leave_nothing_behind(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "stays", session)
    bench.write(fence, b"abc", 3)
    for number in range(1000):
        view(relay, bench, f"page-{number}", session)
        relay.forget(f"page-{number}")
    relay.forget("never-was-here")
    bench.write(fence, b"def", 6)
    wait_until(lambda: viewers.bytes_of("stays") == b"abcdef")
    assert repr(relay) == "<Relay viewers=1 subscriptions=1>"
    assert len(bench.store.command("XRANGE", bench.key(session), "-", "+")) == 2
    assert len(relay_threads()) == 1
    relay.forget("stays")
    assert repr(relay) == "<Relay viewers=0 subscriptions=0>"


def test_the_thread_starts_with_the_first_page_and_ends_with_close(bench: FeedBench, viewers: Viewers) -> None:
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    assert not relay_threads()
    session, _ = bench.start()
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    relay.close(GUARD)
    relay.close(GUARD)
    assert not relay_threads()


class Fragile:
    """Sends that break at one socket, each time with the same error."""

    def __init__(self, viewers: Viewers, error: BaseException, sid: str = "bad"):
        self._viewers = viewers
        self._error = error
        self._sid = sid
        self.broken = threading.Event()
        self.broken.set()

    def send(self, sid: str, event: str, data: dict[str, object]) -> None:
        if sid == self._sid and self.broken.is_set():
            raise self._error
        self._viewers.send(sid, event, data)


def test_a_socket_that_breaks_is_sent_away_and_the_others_go_on(
    bench: FeedBench, viewers: Viewers, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay(bench.feeds, bench.sessions, Fragile(viewers, ZeroDivisionError()).send, viewers.drop)
    session, fence = bench.start()
    view(relay, bench, "bad", session)
    view(relay, bench, "good", session)
    bench.write(fence, b"abc", 3)
    wait_until(lambda: viewers.bytes_of("good") == b"abc" and viewers.dropped == ["bad"])
    assert relay.subscribed("bad") == 0
    assert "relay failed at one step step=session" in caplog.text
    assert caplog.text.count("Traceback") < 10
    relay.close(GUARD)


@pytest.mark.parametrize("live", [True, False], ids=["as-it-comes", "in-what-is-kept"])
def test_a_feed_that_can_not_be_read_ends_nothing_else(
    bench: FeedBench, relay: Relay, viewers: Viewers, caplog: pytest.LogCaptureFixture, live: bool
) -> None:
    session, fence = bench.start()
    view(relay, bench, "good", session)
    relay.watch("bad", session)
    broken = bench.key(session).replace(FEED, "broken")
    bench.store.command("XADD", broken, "1-1", "f", "0", "j", '"fine"' if live else "no JSON")
    assert relay.subscribe("bad", bench.device, "broken", None)
    if live:
        wait_until(lambda: viewers.events("bad", "feed"))
        bench.store.command("XADD", broken, "1-2", "f", "1", "j", "no JSON")
    wait_until(lambda: viewers.dropped == ["bad"])
    bench.write(fence, b"abc", 3)
    wait_until(lambda: viewers.bytes_of("good") == b"abc")
    assert viewers.lost_of("good") == 0
    assert ("relay round failed; it goes on" in caplog.text) is live


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_relay_whose_thread_ended_goes_on_with_the_next_poll(
    bench: FeedBench, viewers: Viewers, caplog: pytest.LogCaptureFixture
) -> None:
    fragile = Fragile(viewers, SystemExit())  # which no guard takes
    viewed = threading.Event()

    def send(sid: str, event: str, data: dict[str, object]) -> None:
        assert viewed.wait(GUARD)  # else what the page asks for after that starts the thread anew
        fragile.send(sid, event, data)

    relay = Relay(bench.feeds, bench.sessions, send, viewers.drop)
    session, fence = bench.start()
    view(relay, bench, "bad", session)
    thread = relay._thread
    assert thread is not None
    viewed.set()
    wait_until(lambda: not thread.is_alive(), "the end of its thread")
    bench.write(fence, b"abc", 3)
    fragile.broken.clear()
    relay.keep_going()
    wait_until(lambda: viewers.bytes_of("bad") == b"abc")
    assert "relay had ended" in caplog.text
    relay.close(GUARD)


def test_a_poll_without_viewers_starts_no_thread(bench: FeedBench, viewers: Viewers) -> None:
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    relay.keep_going()
    assert not relay_threads()


def test_a_socket_that_is_dismissed_is_dropped_once(relay: Relay, viewers: Viewers) -> None:
    relay.dismiss("a")
    relay.dismiss("a")
    wait_until(lambda: viewers.dropped)
    relay.dismiss("b")
    wait_until(lambda: "b" in viewers.dropped)
    assert viewers.dropped == ["a", "b"]
