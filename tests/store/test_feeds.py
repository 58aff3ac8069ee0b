"""Feeds in a real store: who may see what, in which order, and what is said about what is missing."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import wire
from labkit.store.feeds import KEEP_BYTES, KEEP_STATES, Cursor, FeedEntry, joined, piece_after, pieces_after
from labkit.store.sessions import EndReason
from labkit.testing.store import StoreServer
from tests.store.feed_bench import GUARD, OVER, FeedBench
from tests.store.feed_bench import bench as bench


def at(offset: int, epoch: int = 1) -> Cursor:
    return Cursor(epoch=epoch, offset=offset)


def shown(bench: FeedBench, session: str, cursor: Cursor | None = None) -> list[tuple[str, object, int | None]]:
    return [(str(p.cursor), p.data, p.lost) for p in bench.feeds.read(bench.feed(session), cursor)]


# -- who may see it


def test_bytes_reach_the_session_that_has_the_device(bench: FeedBench) -> None:
    session, fence = bench.start()
    assert bench.write(fence, b"\x00\xff boot", 7) == "kept"
    assert shown(bench, session) == [("1:7", b"\x00\xff boot", 0)]


def test_a_starting_session_gets_what_its_start_brings_up(bench: FeedBench) -> None:
    session, fence = bench.start(activate=False)
    assert bench.write(fence, b"boot", 4) == "kept"
    assert shown(bench, session) == [("1:4", b"boot", 0)]


def test_bytes_under_another_fence_are_dropped(bench: FeedBench) -> None:
    session, fence = bench.start()
    assert bench.write(fence - 1, b"old", 3) == "dropped"
    assert bench.write(fence + 1, b"new", 3) == "dropped"
    assert shown(bench, session) == []


@pytest.mark.parametrize("how", OVER)
def test_nothing_is_kept_for_a_session_that_is_over(bench: FeedBench, how: str) -> None:
    session, fence = bench.start()
    bench.write(fence, b"mine", 4)
    bench.make_over(session, fence, how)
    assert bench.write(fence, b"late", 8) == "dropped"
    assert [data for _, data, _ in shown(bench, session)] == [b"mine"]


def test_the_next_session_sees_nothing_of_the_last_one(bench: FeedBench) -> None:
    first, old_fence = bench.start()
    bench.write(old_fence, b"secret", 6)
    bench.end(first)
    bench.finish(first)
    second, fence = bench.start()
    assert bench.write(old_fence, b"late secret", 17) == "dropped"
    assert bench.write(fence, b"hello", 22, first=17) == "kept"
    assert shown(bench, second) == [("1:22", b"hello", 0)]


# -- order, twice, holes


def test_a_batch_that_is_sent_twice_is_there_once(bench: FeedBench) -> None:
    session, fence = bench.start()
    assert [bench.write(fence, b"abc", 3) for _ in range(2)] == ["kept", "known"]
    bench.write(fence, b"def", 6)
    assert bench.write(fence, b"abc", 3) == "known"
    assert [data for _, data, _ in shown(bench, session)] == [b"abc", b"def"]


def test_a_hole_is_counted_once(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"abc", 3)
    bench.write(fence, b"xyz", 103)
    bench.write(fence, b"end", 106)
    assert shown(bench, session) == [("1:3", b"abc", 0), ("1:103", b"xyz", 97), ("1:106", b"end", 0)]


def test_what_was_lost_before_the_first_bytes_is_counted_too(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"abc", 1_003, first=600)
    assert shown(bench, session) == [("1:1003", b"abc", 400)]


def test_reading_goes_on_after_a_cursor_also_inside_a_batch(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"abcdef", 6)
    bench.write(fence, b"ghi", 9)
    assert shown(bench, session, at(6)) == [("1:9", b"ghi", 0)]
    assert shown(bench, session, at(2)) == [("1:6", b"cdef", 0), ("1:9", b"ghi", 0)]
    assert shown(bench, session, at(9)) == []


def test_the_latest_quarter_mebibyte_is_kept_and_the_rest_is_a_counted_gap(bench: FeedBench) -> None:
    session, fence = bench.start()
    block = bytes(32 * 1024)
    for number in range(1, 21):
        bench.write(fence, block, number * len(block))
    pieces = bench.feeds.read(bench.feed(session), None)
    kept = sum(len(piece.data) for piece in pieces)
    assert KEEP_BYTES <= kept <= KEEP_BYTES + len(block)
    assert [piece.lost for piece in pieces] == [20 * len(block) - kept] + [0] * (len(pieces) - 1)
    assert bench.feeds.read(bench.feed(session), at(len(block)))[0].lost == 19 * len(block) - kept


def test_a_new_opening_goes_on_with_a_gap_of_unknown_size(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"before", 6, epoch=1)
    bench.write(fence, b"after", 5, epoch=2)
    assert shown(bench, session) == [("1:6", b"before", 0), ("2:5", b"after", None)]
    assert shown(bench, session, at(6)) == [("2:5", b"after", None)]
    assert shown(bench, session, at(0, epoch=2)) == [("2:5", b"after", 0)]


def test_a_late_writer_of_an_earlier_opening_is_dropped(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"new", 3, epoch=2)
    assert bench.write(fence, b"old", 900, epoch=1) == "known"
    assert [data for _, data, _ in shown(bench, session)] == [b"new"]


def test_openings_without_end_do_not_grow_the_feed(bench: FeedBench) -> None:
    session, fence = bench.start()
    for epoch in range(1, 20):
        bench.write(fence, b"boot", 4, epoch=epoch)
    assert shown(bench, session) == [("18:4", b"boot", None), ("19:4", b"boot", None)]


def test_a_cursor_of_an_opening_that_was_never_here_counts_as_none(bench: FeedBench) -> None:
    session, fence = bench.start()
    bench.write(fence, b"abc", 3, epoch=5)
    bench.write(fence, b"def", 6, epoch=5)
    assert shown(bench, session, at(77, epoch=9)) == [("5:3", b"abc", None), ("5:6", b"def", 0)]
    assert shown(bench, session, at(77, epoch=4)) == [("5:3", b"abc", None), ("5:6", b"def", 0)]


def test_a_cursor_of_an_empty_feed_is_no_error(bench: FeedBench) -> None:
    session, _ = bench.start()
    assert shown(bench, session, at(77, epoch=9)) == []


def test_states_keep_their_values_and_their_number(bench: FeedBench) -> None:
    session, fence = bench.start()
    for number in range(1, KEEP_STATES + 21):
        bench.write(fence, wire.dumps({"n": number, "raw": b"\xff"}), number)
    pieces = bench.feeds.read(bench.feed(session), None, 1000)
    assert pieces[0].lost == 19
    assert pieces[-1].data == {"n": KEEP_STATES + 20, "raw": b"\xff"}
    assert [piece.data["n"] for piece in pieces] == list(range(20, KEEP_STATES + 21))


# -- in the store


def test_a_feed_goes_two_minutes_after_its_session_at_the_latest(bench: FeedBench) -> None:
    session, fence = bench.start(length=100)
    bench.write(fence, b"abc", 3)
    assert 100 < bench.store.command("TTL", bench.key(session)) <= 220


def test_feeds_stay_out_of_the_append_only_file(tmp_path: Path) -> None:
    with StoreServer(tmp_path, append_only=True) as server, FeedBench(server.url) as bench:
        session, fence = bench.start()
        marker = secrets.token_hex(16).encode()
        bench.write(fence, marker, 32)
        bench.feeds.watch().wake()
        assert [data for _, data, _ in shown(bench, session)] == [marker]
        server.restart()
        files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert session.encode() in files
        assert marker not in files
        assert b"relay_wake" not in files
        # the store has forgotten the feed, the host has not: what comes next says how much is missing
        assert shown(bench, session) == []
        assert bench.write(fence, b"next", 36) == "kept"
        assert shown(bench, session, at(32)) == [("1:36", b"next", 0)]
        assert shown(bench, session) == [("1:36", b"next", 32)]


# -- waiting


def test_one_wait_hears_of_feeds_and_of_sessions(bench: FeedBench) -> None:
    session, fence = bench.start()
    watch = bench.feeds.watch()
    position = watch.wait({}, {session: "0-0"}, GUARD).sessions[session][-1][0]
    bench.write(fence, b"abc", 3)
    bench.end(session, EndReason.TIME)
    news = watch.wait({bench.feed(session): at(0, epoch=0)}, {session: position}, GUARD)
    assert [entry.data for entry in news.feeds[bench.feed(session)]] == [b"abc"]
    assert [(f["state"], f["reason"]) for _, f in news.sessions[session]] == [("ending", "time")]


def test_a_wait_is_woken_by_another_thread_and_only_once(bench: FeedBench) -> None:
    watch = bench.feeds.watch()
    threading.Timer(0.05, watch.wake).start()
    started = time.monotonic()
    news = watch.wait({}, {}, GUARD)
    assert time.monotonic() - started < GUARD / 2
    assert not news.feeds
    assert not news.sessions
    watch.wait({}, {}, 0.01)  # it does not find the old one


def test_a_wake_before_the_wait_ends_it(bench: FeedBench) -> None:
    watch = bench.feeds.watch()
    watch.wake()
    started = time.monotonic()
    watch.wait({}, {}, GUARD)
    assert time.monotonic() - started < GUARD / 2


# -- cursors, and what readers make of entries


@pytest.mark.parametrize(
    "written", ["", "1", "1:", ":1", "-1:2", "1:2:3", "1.5:2", "a:b", "٣:٤", "1" * 17 + ":0", "1:2\n"]
)
def test_what_is_no_cursor_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        Cursor.parse(written)


def test_a_cursor_is_read_as_it_was_written() -> None:
    assert Cursor.parse(str(at(4096, epoch=1_763_800_000_123_456))) == at(4096, epoch=1_763_800_000_123_456)


Cuts = st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=20)


def entries_of(source: bytes, cuts: list[int]) -> list[FeedEntry]:
    entries, end = [], 0
    for cut in cuts:
        data = source[end : end + cut]
        end += cut
        entries.append(FeedEntry(end=at(end), first=0, data=data, length=cut, size=cut, is_bytes=True))
    return entries


@given(cuts=Cuts, start=st.integers(min_value=0, max_value=60), kept=st.sets(st.integers(min_value=0, max_value=19)))
def test_what_is_shown_and_what_is_lost_is_always_everything(cuts: list[int], start: int, kept: set[int]) -> None:
    source = bytes(range(200))
    total = sum(cuts)
    entries = [entry for number, entry in enumerate(entries_of(source, cuts)) if number in kept]
    start = min(start, total)
    place = start
    for piece in pieces_after(at(start), [*entries, *entries]):  # twice: a reader that reads again shows nothing twice
        assert piece.lost is not None
        begin = place + piece.lost
        assert piece.data == source[begin : piece.cursor.offset]
        place = piece.cursor.offset
    assert place == max([start, *(entry.end.offset for entry in entries)])


@given(cuts=Cuts, most=st.integers(min_value=1, max_value=40))
def test_joining_changes_nothing_but_the_number_of_pieces(cuts: list[int], most: int) -> None:
    source = bytes(range(200))
    entries = entries_of(source, cuts)
    whole = joined(pieces_after(None, entries), most)
    assert b"".join(piece.data for piece in whole) == source[: sum(cuts)]
    assert whole[-1].cursor == entries[-1].end
    assert all(piece.size == len(piece.data) <= max(most, 9) for piece in whole)


def test_pieces_are_not_joined_over_a_gap() -> None:
    entries = entries_of(bytes(100), [5, 5, 5, 5])
    pieces = joined(pieces_after(None, [entries[0], entries[2], entries[3]]), 1000)
    assert [(len(p.data), p.lost) for p in pieces] == [(5, 0), (10, 5)]


def test_an_entry_of_an_earlier_opening_brings_nothing() -> None:
    entry = FeedEntry(end=at(5, epoch=1), first=0, data=b"12345", length=5, size=5, is_bytes=True)
    assert piece_after(at(0, epoch=2), entry) is None
