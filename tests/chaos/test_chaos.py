"""A short chaos run. Long ones: `make chaos CHAOS_FAULTS=1000`; one again: `make chaos CHAOS_SEED=...`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos_run import run_chaos

SEED = 3
KINDS = (
    "loop-kill", "loop-stop", "web-kill", "net-cut", "net-hole", "store-kill", "store-cut-back", "store-forbids",
    "store-clock-jump", "device-unplug", "on_start-raise", "on_dispose-exit-process", "task-hang",
)  # fmt: skip
"""One of each; the long runs have all kinds."""


@pytest.mark.timeout(300)
def test_a_lab_bears_a_dozen_faults(tmp_path: Path) -> None:
    """The seed gives the same faults in the same order; what they meet differs from run to run."""
    assert run_chaos(tmp_path, SEED, len(KINDS), kinds=KINDS)
