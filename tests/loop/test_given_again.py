"""A store that went back a moment shows a call again that was taken already: it is not run a second time."""

from __future__ import annotations

from labkit.process import Begun
from labkit.store.calls import Submitted
from tests.loop.test_dispatch import Bench
from tests.loop.test_dispatch import bench as bench
from tests.toy import wait_until


def test_call_that_the_store_shows_again_is_not_run_again(bench: Bench) -> None:
    bench.thread.start()
    call, _ = bench.submit("first")
    wait_until(lambda: bench.words, "the call")
    assert isinstance(bench.table.calls.submit(call), Submitted)  # as it stands in a file of a moment ago
    bench.submit("second")
    wait_until(lambda: "second" in bench.words, "the next call")
    bench.stop()
    assert bench.words == ["first", "second"]


def test_only_the_newest_are_remembered() -> None:
    begun = Begun(most=2)
    assert [begun.first(word) for word in ("a", "b", "a", "c", "b", "a")] == [True, True, False, True, False, True]
