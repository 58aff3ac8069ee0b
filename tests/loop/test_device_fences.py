"""Whatever comes in whatever order: nothing under an old fence reaches the device after anything under a later one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.store.calls import READY, Call
from tests.loop.runner_bench import RunnerBench
from tests.toy import GUARD, wait_until

FENCES = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "steps", "block", READY, "gone"]), FENCES),
        st.tuples(st.sampled_from(["raise", "releasing", "reserved"]), FENCES),
    ),
    min_size=1,
    max_size=14,
)


def act(bench: RunnerBench, what: str, fence: int) -> Call | None:
    """Do one step; calls write down the fence under which they were made."""
    match what:
        case "raise":
            bench.runner.raise_fence(fence)
        case "releasing" | "reserved":
            bench.runner.follow(what, fence)
        case "gone":
            if bench.world.toys:
                bench.toy.link.lost("pulled out")
        case "write":
            return bench.call("write", [fence, "write"], fence=fence)
        case "steps":
            return bench.call("steps", fence, 10**9, fence=fence)
        case "block":
            return bench.call("block", fence=fence)
        case _:
            return bench.call(what, fence=fence)
    return None


def fences_in_order(acts: list[object]) -> list[int]:
    """The fences of all that commands did at the device, their cleaning up too."""
    return [row[0] for row in acts if isinstance(row, list)]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, pauses=st.lists(st.booleans(), min_size=14, max_size=14))
def test_fences_at_the_device_never_go_down(steps: list[tuple[str, int]], pauses: list[bool]) -> None:
    with tempfile.TemporaryDirectory() as folder, RunnerBench(Path(folder)) as bench:
        bench.start()
        calls = []
        for (what, fence), pause in zip(steps, pauses, strict=False):
            call = act(bench, what, fence)
            if call is not None:
                calls.append(call)
            if pause and what == "write":
                wait_until(lambda: bench.port.replies.get(call.id) or bench.runner._occupation.now, "the thread's turn")  # noqa: B023
        bench.runner.raise_fence(99)
        for call in calls:
            bench.answer(call)
        seen = fences_in_order(bench.world.acts)
        assert seen == sorted(seen), bench.world.acts
        assert all(len(bench.port.replies[call.id]) == 1 for call in calls)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_after_a_release_was_dealt_with_nothing_of_before_comes(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, RunnerBench(Path(folder)) as bench:
        bench.start()
        for what, fence in steps:
            act(bench, what, fence)
        bench.runner.follow("releasing", 50)
        wait_until(lambda: bench.runner.dealt_with >= 50, "the release", GUARD)
        mark = len(bench.world.acts)
        assert bench.ask("write", [51, "next"], fence=51).error in ("", "DeviceOfflineError")
        assert all(row[0] == 51 for row in bench.world.acts[mark:] if isinstance(row, list))
