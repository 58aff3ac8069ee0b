"""The relay on a real store: what is kept and what comes, resuming, slow viewers."""

from __future__ import annotations

import random
import threading
import time

from labkit import wire
from labkit.loop.feeds import FeedOutlet
from labkit.plugin import Feed
from labkit.store.feeds import Cursor
from labkit.web.relay import Relay
from labkit.web.subscription import WINDOW
from tests.store.feed_bench import FEED, GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.viewer import Viewers, acknowledge, view
from tests.web.viewer import relay as relay
from tests.web.viewer import viewers as viewers

BLOCK = bytes(range(256)) * 64


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
    visits, pause = threading.Semaphore(0), threading.Event()

    def flood() -> None:
        for quarter in (source[at : at + 50_000] for at in range(0, len(source), 50_000)):
            assert visits.acquire(timeout=GUARD)  # one more page has come, so there are four at least
            for number, start in enumerate(range(0, len(quarter), 97)):
                outlet.emit(FEED, quarter[start : start + 97])
                if number % 8 == 7:
                    pause.wait(0.002)

    writer = threading.Thread(target=flood)
    writer.start()
    seen, cursor, visit, ends = b"", None, 0, time.monotonic() + GUARD
    while len(seen) < len(source):
        assert time.monotonic() < ends
        sid, visit = f"visit-{visit}", visit + 1
        visits.release()
        view(relay, bench, sid, session, cursor)
        wait_until(lambda sid=sid: viewers.events(sid, "feed"))  # type: ignore[misc]
        relay.forget(sid)
        messages = viewers.events(sid, "feed")
        assert all(message["lost"] == 0 for message in messages)
        seen += b"".join(message["data"] for message in messages)
        cursor = messages[-1]["cursor"]
        assert seen == source[: len(seen)]
    writer.join(GUARD)
    outlet.close()


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
