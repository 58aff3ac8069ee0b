"""Frames through a real store: who may look, who is counted, and that nothing of them stays."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.frames import FramesId, FrameWatch, SentFrame
from labkit.testing.store import StoreServer
from tests.store.feed_bench import GUARD, OVER, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.store.looking import Looker

FRAMES = "frames"


class Watch(FrameWatch):
    """One that remembers of which channels the store has said that they are heard."""

    def __init__(self, store: Store):
        super().__init__(store)
        self.confirmed: set[str] = set()

    def _tell_hosts(self, channel: str) -> None:
        super()._tell_hosts(channel)
        self.confirmed.add(channel)

    def close(self) -> None:
        super().close()
        self.confirmed.clear()


@pytest.fixture
def watch(bench: FeedBench) -> Iterator[Watch]:
    watch = Watch(bench.store)
    yield watch
    watch.close()


def frame(number: int = 1) -> SentFrame:
    return SentFrame(captured=1_700_000_000.25 + number, width=1280, height=720, data=b"\xff\xd8\x00" + bytes([number]))


def feed_of(bench: FeedBench, session: str, feed: str = FRAMES) -> FramesId:
    return FramesId(session_id=session, device=bench.device, feed=feed)


def listen(watch: Watch, *feeds: FramesId) -> None:
    """Come so far that frames of these feeds are heard, and that the next wait is for frames and nothing else."""
    wanted = {watch._wake_channel, *map(watch._channel, feeds)}
    wait_until(lambda: watch.wait(feeds, 0.1) == [] and wanted <= watch.confirmed, "the store's word")


def write(bench: FeedBench, fence: int, number: int = 1, feed: str = FRAMES) -> int | None:
    return bench.feeds.frames.write(bench.device, feed, fence, frame(number))


# -- who gets it


def test_who_looks_gets_the_frame_as_it_was_given(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    feed = feed_of(bench, session)
    listen(watch, feed)
    assert write(bench, fence, 7) == 1
    assert watch.wait([feed], GUARD) == [(feed, frame(7))]


def test_each_connection_that_looks_is_counted_and_gets_it(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    feed = feed_of(bench, session)
    other = Watch(bench.store)
    assert bench.feeds.frames.viewers(bench.device, fence, [FRAMES, "other"]) == [0, 0]
    listen(watch, feed)
    listen(other, feed)
    assert bench.feeds.frames.viewers(bench.device, fence, ["other", FRAMES]) == [0, 2]
    assert write(bench, fence) == 2
    assert watch.wait([feed], GUARD) == other.wait([feed], GUARD) == [(feed, frame())]
    other.close()
    wait_until(lambda: write(bench, fence) == 1)


def test_of_a_feed_that_comes_faster_than_it_is_read_the_newest_counts(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    feed, other = feed_of(bench, session), feed_of(bench, session, "other")
    listen(watch, feed, other)
    for number in range(20):
        write(bench, fence, number)
    write(bench, fence, 99, "other")
    got: dict[FramesId, SentFrame] = {}
    while other not in got:  # what is not here yet comes with the next wait
        came = watch.wait([feed, other], GUARD)
        assert len(came) == len(dict(came)) > 0
        got.update(came)
    assert got == {feed: frame(19), other: frame(99)}


def test_a_frame_larger_than_the_connections_buffers_comes_whole(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    feed = feed_of(bench, session)
    listen(watch, feed)
    large = SentFrame(captured=1.0, width=1, height=1, data=bytes(range(256)) * 16_384)
    writer = threading.Thread(target=bench.feeds.frames.write, args=(bench.device, FRAMES, fence, large))
    writer.start()
    assert watch.wait([feed], GUARD) == [(feed, large)]
    writer.join(GUARD)


# -- who does not


def test_another_session_sees_nothing_whatever_it_listens_to(bench: FeedBench, watch: Watch) -> None:
    first, old_fence = bench.start()
    listen(watch, feed_of(bench, first))
    bench.end(first)
    bench.finish(first)
    second, fence = bench.start()
    assert write(bench, old_fence) is None
    assert write(bench, fence) == 0  # who still listens as the first session is none of the second's viewers
    assert bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [0]
    assert watch.wait([feed_of(bench, first)], 0.05) == []
    listen(watch, feed_of(bench, second))
    assert write(bench, fence) == 1


@pytest.mark.parametrize("how", [*OVER, "another fence"])
def test_nobody_gets_a_frame_whose_fence_or_session_is_over(bench: FeedBench, watch: Watch, how: str) -> None:
    session, fence = bench.start()
    feed = feed_of(bench, session)
    listen(watch, feed)
    if how == "another fence":
        fence -= 1
    else:
        bench.make_over(session, fence, how)
    assert write(bench, fence) is None
    bench.store.now = None
    assert watch.wait([feed], 0.05) == []


def test_a_starting_session_may_look(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start(activate=False)
    listen(watch, feed_of(bench, session))
    assert write(bench, fence) == 1


def test_under_an_earlier_fence_nobody_is_counted(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    listen(watch, feed_of(bench, session))
    assert bench.feeds.frames.viewers(bench.device, fence - 1, [FRAMES]) == [0]


def test_a_frame_stays_nowhere(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    listen(watch, feed_of(bench, session))
    before = set(bench.store.command("KEYS", f"*{bench.store.keys.prefix}*"))
    write(bench, fence)
    assert set(bench.store.command("KEYS", f"*{bench.store.keys.prefix}*")) == before


def test_a_frame_goes_to_no_append_only_file(tmp_path: Path) -> None:
    with StoreServer(tmp_path, append_only=True) as server, FeedBench(server.url) as bench:
        session, fence = bench.start()
        watch = Watch(bench.store)
        listen(watch, feed_of(bench, session))
        assert bench.feeds.frames.write(
            bench.device, FRAMES, fence, SentFrame(captured=1, width=1, height=1, data=b"a picture of somebody")
        )
        watch.close()
        bench.store.command("SET", "mark", "written afterwards")
        files = list((tmp_path / "appendonlydir").iterdir())
        wait_until(lambda: any(b"written afterwards" in path.read_bytes() for path in files))
        assert not any(b"a picture of somebody" in path.read_bytes() for path in files)


# -- the one connection of a web process


def test_each_feed_that_is_listened_to_anew_is_news_for_hosts_after_it_counts(bench: FeedBench, watch: Watch) -> None:
    session, fence = bench.start()
    seen = []

    def news() -> bytes | None:
        word: bytes | None = bench.store.command("HGET", bench.store.keys["lab"], "watched")
        if word is not None and word not in seen:
            seen.append(word)
            assert bench.feeds.frames.viewers(bench.device, fence, [FRAMES, "other"])[len(seen) - 1] == 1
        return word

    assert news() is None
    for feeds in (["frames"], ["frames", "other"]):
        ids = [feed_of(bench, session, feed) for feed in feeds]
        until = time.monotonic() + GUARD
        while len(seen) < len(feeds):
            watch.wait(ids, 0.1)
            news()
            assert time.monotonic() < until
    watch.wait([feed_of(bench, session)], 0.1)  # one that ends is no news
    last = news()
    watch.wait([feed_of(bench, session)], 0.1)
    assert news() == last


def test_a_wait_ends_when_it_is_woken(bench: FeedBench, watch: Watch) -> None:
    session, _ = bench.start()
    feed = feed_of(bench, session)
    listen(watch, feed)
    waker = threading.Thread(target=watch.wake)
    waker.start()
    started = time.monotonic()
    assert watch.wait([feed], GUARD) == []
    assert time.monotonic() - started < GUARD
    waker.join(GUARD)


def test_what_makes_no_sense_ends_the_connection_and_the_next_wait_makes_another(
    bench: FeedBench, watch: Watch
) -> None:
    session, fence = bench.start()
    feed = feed_of(bench, session)
    listen(watch, feed)
    bench.store.command("PUBLISH", watch._channel(feed), b"short")
    with pytest.raises(struct.error):
        watch.wait([feed], GUARD)
    listen(watch, feed)
    assert write(bench, fence) == 1


def test_hosts_are_told_of_a_viewer_that_came_while_the_store_took_no_writes(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, FeedBench(server.url) as bench:
        session, _ = bench.start()
        watch = Watch(bench.store)
        bench.store.command("REPLICAOF", "127.0.0.1", "1")  # as where its disk is full
        with pytest.raises(StoreUnavailableError):
            listen(watch, feed_of(bench, session))
        bench.store.command("REPLICAOF", "NO", "ONE")
        assert bench.store.command("HGET", bench.store.keys["lab"], "watched") is None
        listen(watch, feed_of(bench, session))
        assert bench.store.command("HGET", bench.store.keys["lab"], "watched")
        watch.close()


def test_after_the_store_was_away_the_same_watch_goes_on(tmp_path: Path) -> None:
    with StoreServer(tmp_path, append_only=True) as server, FeedBench(server.url) as bench:
        session, fence = bench.start()
        feed = feed_of(bench, session)
        watch = Watch(bench.store)
        listen(watch, feed)
        server.stop()
        with pytest.raises(StoreUnavailableError):
            watch.wait([feed], GUARD)
        with pytest.raises(StoreUnavailableError):
            watch.wait([feed], GUARD)
        with pytest.raises(StoreUnavailableError):
            write(bench, fence)
        server.start()
        listen(watch, feed)
        assert write(bench, fence) == 1
        assert watch.wait([feed], GUARD) == [(feed, frame())]
        watch.close()
        watch.close()


def test_the_store_counts_a_viewer_no_more_whose_process_was_killed(bench: FeedBench) -> None:
    """What frees a camera: nobody has to be told, and nothing has to time out."""
    session, fence = bench.start()
    with Looker(bench.store.url, bench.store.keys.prefix, feed_of(bench, session)) as looker:
        wait_until(lambda: bench.feeds.frames.viewers(bench.device, fence, [FRAMES]) == [1])
        looker.kill()
        wait_until(lambda: write(bench, fence) == 0)
