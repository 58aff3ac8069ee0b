"""A short chaos run. Long ones: `make chaos CHAOS_FAULTS=1000`; one again: `make chaos CHAOS_SEED=...`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.chaos.chaos_run import dying_threads, run_chaos

SEED = 3
KINDS = (
    "loop-kill", "loop-stop", "web-kill", "net-cut", "net-hole", "store-kill", "store-cut-back", "store-forbids",
    "store-clock-jump", "device-unplug", "on_start-raise", "on_dispose-exit-process", "task-hang",
)  # fmt: skip
"""One of each; the long runs have all kinds."""


@pytest.mark.timeout(300)
def test_a_lab_bears_a_dozen_faults(tmp_path: Path) -> None:
    """The seed gives the same kinds of faults, in about the same order: what is busy with one does not get the next.
    What they meet differs from run to run."""
    assert run_chaos(tmp_path, SEED, len(KINDS), kinds=KINDS, again=False)


def test_a_thread_of_the_harness_that_dies_is_noted() -> None:
    before, noted = threading.excepthook, list[str]()
    with dying_threads(noted):
        thread = threading.Thread(target=dict[str, int]().__getitem__, args=["no such key"], name="user 7")
        thread.start()
        thread.join()
    assert [text.partition(":")[0] for text in noted] == ["user 7 has died"]
    assert "KeyError" in noted[0]
    assert threading.excepthook is before
