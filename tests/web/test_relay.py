"""The relay on a real store: resuming, slow viewers, ends of sessions, a store that goes away, nothing left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from labkit import wire
from labkit.loop.feeds import FeedOutlet
from labkit.plugin import Feed
from labkit.store.feeds import Cursor
from labkit.store.reservations import Condition
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from labkit.web.relay import Relay
from labkit.web.subscription import WINDOW
from tests.store.feed_bench import FEED, GUARD, FeedBench, wait_until
from tests.web.viewer import Viewers

BLOCK = bytes(range(256)) * 64


@pytest.fixture
def bench(server: StoreServer) -> Iterator[FeedBench]:
    with FeedBench(server.url) as bench:
        yield bench


@pytest.fixture
def viewers() -> Viewers:
    return Viewers()


@pytest.fixture
def relay(bench: FeedBench, viewers: Viewers) -> Iterator[Relay]:
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    yield relay
    relay.close(GUARD)


def view(relay: Relay, bench: FeedBench, sid: str, session: str, cursor: str | None = None) -> None:
    relay.watch(sid, session)
    assert relay.subscribe(sid, bench.device, FEED, None if cursor is None else Cursor.parse(cursor))


def acknowledge(relay: Relay, bench: FeedBench, sid: str, cursor: str) -> bool:
    return relay.acknowledge(sid, bench.device, FEED, Cursor.parse(cursor))


# -- feeds


def test_a_new_page_gets_what_is_kept_and_then_what_comes(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    bench.write(fence, b"boot ", 5)
    view(relay, bench, "a", session)
    wait_until(lambda: viewers.bytes_of("a") == b"boot ")
    bench.write(fence, b"more", 9)
    wait_until(lambda: viewers.bytes_of("a") == b"boot more")
    assert viewers.events("a", "feed") == [
        {"device": bench.device, "feed": FEED, "cursor": "1:5", "data": b"boot ", "lost": 0, "history": True},
        {"device": bench.device, "feed": FEED, "cursor": "1:9", "data": b"more", "lost": 0, "history": False},
    ]


def test_states_arrive_one_by_one_as_values(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    for number in (1, 2, 3):
        bench.write(fence, wire.dumps({"red": number}), number)
    view(relay, bench, "a", session)
    wait_until(lambda: len(viewers.events("a", "feed")) == 3)
    assert [message["data"] for message in viewers.events("a", "feed")] == [{"red": 1}, {"red": 2}, {"red": 3}]


def test_a_reload_goes_on_at_its_cursor(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "a", session)
    bench.write(fence, b"seen ", 5)
    wait_until(lambda: viewers.bytes_of("a") == b"seen ")
    relay.forget("a")
    bench.write(fence, b"missed ", 12)
    view(relay, bench, "b", session, "1:5")
    wait_until(lambda: viewers.bytes_of("b") == b"missed ")
    bench.write(fence, b"live", 16)
    wait_until(lambda: viewers.bytes_of("b") == b"missed live")
    assert viewers.lost_of("b") == 0
    assert viewers.bytes_of("a") == b"seen "


def test_pages_that_come_and_go_in_a_flood_miss_nothing_and_see_nothing_twice(
    bench: FeedBench, relay: Relay, viewers: Viewers
) -> None:
    session, fence = bench.start()
    outlet = FeedOutlet(bench.feeds, bench.device, {FEED: Feed(bytes)}, 1)
    outlet.fence = fence
    source = random.Random(1).randbytes(200_000)
    done = threading.Event()

    def flood() -> None:
        for start in range(0, len(source), 97):
            outlet.emit(FEED, source[start : start + 97])
            done.wait(0.0005)
        done.set()

    writer = threading.Thread(target=flood)
    writer.start()
    seen, cursor = b"", None
    for visit in range(1000):
        sid = f"visit-{visit}"
        view(relay, bench, sid, session, cursor)
        wait_until(lambda sid=sid: viewers.events(sid, "feed"))  # type: ignore[misc]
        relay.forget(sid)
        messages = viewers.events(sid, "feed")
        assert all(message["lost"] == 0 for message in messages)
        seen += b"".join(message["data"] for message in messages)
        cursor = messages[-1]["cursor"]
        assert seen == source[: len(seen)]
        if len(seen) == len(source):
            break
    writer.join(GUARD)
    outlet.close()
    assert len(seen) == len(source)
    assert visit > 3


def test_a_cursor_that_was_trimmed_away_says_how_much_is_lost(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    for number in range(1, 41):
        bench.write(fence, BLOCK, number * len(BLOCK))
    view(relay, bench, "a", session, f"1:{len(BLOCK)}")
    wait_until(lambda: viewers.events("a", "feed"))
    lost = viewers.events("a", "feed")[0]["lost"]
    first = viewers.events("a", "feed")[0]
    assert lost > 0
    assert Cursor.parse(first["cursor"]).offset == len(BLOCK) + lost + len(first["data"])


def test_a_cursor_of_an_unknown_opening_is_a_stated_gap(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    bench.write(fence, b"abc", 3, epoch=5)
    view(relay, bench, "older", session, "4:100")
    view(relay, bench, "never", session, "9999999999999999:100")
    for sid in ("older", "never"):
        wait_until(lambda sid=sid: viewers.bytes_of(sid) == b"abc")  # type: ignore[misc]
        assert viewers.events(sid, "feed")[0]["lost"] == -1
    bench.write(fence, b"def", 6, epoch=5)
    for sid in ("older", "never"):
        wait_until(lambda sid=sid: viewers.bytes_of(sid) == b"abcdef")  # type: ignore[misc]


def test_a_senseless_cursor_harms_only_the_page_that_gave_it(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "odd", session, "9999999999999999:9999999999999999")
    view(relay, bench, "good", session)
    bench.write(fence, b"abc", 3)
    bench.write(fence, b"def", 6)
    wait_until(lambda: viewers.bytes_of("good") == b"abcdef")


def test_unsubscribing_ends_a_feed_and_leaves_others(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "a", session)
    view(relay, bench, "b", session)
    bench.write(fence, b"one", 3)
    wait_until(lambda: viewers.bytes_of("a") == viewers.bytes_of("b") == b"one")
    relay.unsubscribe("a", bench.device, FEED)
    bench.write(fence, b"two", 6)
    wait_until(lambda: viewers.bytes_of("b") == b"onetwo")
    assert viewers.bytes_of("a") == b"one"


# -- viewers that are slow


def test_a_viewer_that_acknowledges_nothing_gets_a_window_and_no_more(
    bench: FeedBench, relay: Relay, viewers: Viewers
) -> None:
    session, fence = bench.start()
    view(relay, bench, "slow", session)
    view(relay, bench, "quick", session)
    total = 0
    while total < 8 * WINDOW:
        total += len(BLOCK)
        bench.write(fence, BLOCK, total)
        wait_until(lambda: len(viewers.bytes_of("quick")) == total)  # noqa: B023 - it is over before total changes
        acknowledge(relay, bench, "quick", viewers.cursor_of("quick"))
    assert viewers.lost_of("quick") == 0
    assert WINDOW <= len(viewers.bytes_of("slow")) < WINDOW + 64 * 1024 + len(BLOCK)


def test_a_slow_viewer_goes_on_where_it_was_and_is_told_what_was_dropped(
    bench: FeedBench, relay: Relay, viewers: Viewers
) -> None:
    session, fence = bench.start()
    view(relay, bench, "slow", session)
    count = 8 * WINDOW // len(BLOCK)
    for number in range(1, count + 1):
        bench.write(fence, BLOCK, number * len(BLOCK))
    wait_until(lambda: len(viewers.bytes_of("slow")) >= WINDOW)
    total = count * len(BLOCK)

    def all_there() -> bool:
        acknowledge(relay, bench, "slow", viewers.cursor_of("slow"))
        return Cursor.parse(viewers.cursor_of("slow")).offset == total

    wait_until(all_there)
    assert viewers.lost_of("slow") > 0
    assert len(viewers.bytes_of("slow")) + viewers.lost_of("slow") == total
    bench.write(fence, b"live again", total + 10)
    wait_until(lambda: viewers.bytes_of("slow").endswith(b"live again"))


def test_what_was_never_sent_can_not_be_acknowledged(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, fence = bench.start()
    view(relay, bench, "a", session)
    assert not acknowledge(relay, bench, "a", "1:1000000")
    bench.write(fence, b"abc", 3)
    wait_until(lambda: viewers.bytes_of("a") == b"abc")
    assert not acknowledge(relay, bench, "a", "1:4")
    assert acknowledge(relay, bench, "a", "1:2")
    assert acknowledge(relay, bench, "a", "1:3")
    assert relay.acknowledge("nobody", bench.device, FEED, Cursor(epoch=1, offset=1))


# -- sessions


def test_a_page_is_shown_its_session_and_each_change_once(bench: FeedBench, relay: Relay, viewers: Viewers) -> None:
    session, _ = bench.start(length=600)
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    shown = viewers.events("a", "session")[0]
    assert (shown["state"], shown["reason"]) == ("active", "")
    assert 590 < shown["time_left"] <= 600
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


# -- the store, the thread, and what is left


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
    assert [thread.name for thread in threading.enumerate()].count("relay") == 1
    relay.forget("stays")
    assert repr(relay) == "<Relay viewers=0 subscriptions=0>"


def test_the_thread_starts_with_the_first_page_and_ends_with_close(bench: FeedBench, viewers: Viewers) -> None:
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    assert "relay" not in [thread.name for thread in threading.enumerate()]
    session, _ = bench.start()
    relay.watch("a", session)
    wait_until(lambda: viewers.events("a", "session"))
    relay.close(GUARD)
    relay.close(GUARD)
    assert "relay" not in [thread.name for thread in threading.enumerate()]


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
    relay = Relay(bench.feeds, bench.sessions, fragile.send, viewers.drop)
    session, fence = bench.start()
    view(relay, bench, "bad", session)
    wait_until(lambda: "relay" not in [thread.name for thread in threading.enumerate()])
    bench.write(fence, b"abc", 3)
    fragile.broken.clear()
    relay.keep_going()
    wait_until(lambda: viewers.bytes_of("bad") == b"abc")
    assert "relay had ended" in caplog.text
    relay.close(GUARD)


def test_a_poll_without_viewers_starts_no_thread(bench: FeedBench, viewers: Viewers) -> None:
    relay = Relay(bench.feeds, bench.sessions, viewers.send, viewers.drop)
    relay.keep_going()
    assert "relay" not in [thread.name for thread in threading.enumerate()]


def test_a_socket_that_is_dismissed_is_dropped_once(relay: Relay, viewers: Viewers) -> None:
    relay.dismiss("a")
    relay.dismiss("a")
    wait_until(lambda: viewers.dropped)
    relay.dismiss("b")
    wait_until(lambda: "b" in viewers.dropped)
    assert viewers.dropped == ["a", "b"]
