"""Commands that give the thread back: they take turns, and are over, and answered once, before what ends them."""

from __future__ import annotations

from labkit.store.reservations import Condition
from tests.loop.runner_bench import RunnerBench
from tests.loop.runner_bench import bench as bench
from tests.toy import wait_until


def test_suspended_command_lets_others_run_and_ends_with_its_value(bench: RunnerBench) -> None:
    bench.start()
    gate = bench.world.hold("slow")
    long = bench.call("steps", "s", 2, "slow")
    bench.acts("slow hangs")
    between = bench.call("write", "between")
    gate.set()
    assert bench.answer(long).value == ["s", 2]
    assert bench.answer(between).value == "between"
    assert bench.world.acts.index("between") < bench.world.acts.index(["s", "end"])


def test_two_suspended_commands_take_turns(bench: RunnerBench) -> None:
    bench.start()
    gate = bench.world.hold("gate")
    first = bench.call("steps", "a", 3, "gate")
    bench.acts("gate hangs")
    second = bench.call("steps", "b", 3)
    gate.set()
    assert (bench.answer(first).value, bench.answer(second).value) == (["a", 3], ["b", 3])
    steps = [act[0] for act in bench.world.acts if isinstance(act, list)]
    assert "ab" in "".join(steps)
    assert "ba" in "".join(steps)


def test_suspended_command_is_over_before_anything_under_a_later_fence(bench: RunnerBench) -> None:
    """Also where the first news of the fence is a call under it."""
    bench.start()
    gate = bench.world.hold("gate")
    old = bench.call("steps", "old", 100, "gate", fence=1)
    bench.acts("gate hangs")
    new = bench.call("write", "new", fence=2)
    bench.world.gates.pop("gate")
    gate.set()
    assert bench.answer(old).error == "ReservationLostError"
    assert bench.answer(new).value == "new"
    assert bench.world.acts.index(["old", "end"]) < bench.world.acts.index("new")


def test_suspended_command_past_its_deadline_may_have_run(bench: RunnerBench) -> None:
    bench.start()
    gate = bench.world.hold("gate")
    call = bench.call("steps", "s", 100, "gate")
    bench.acts("gate hangs")
    bench.port.time += 61
    gate.set()
    reply = bench.answer(call)
    assert (reply.error, "nothing was done" in reply.message) == ("CallLostError", False)
    assert ["s", "end"] in bench.world.acts


def test_suspended_command_of_a_device_that_goes_ends_before_it_is_closed(bench: RunnerBench, eager: None) -> None:
    bench.start()
    gate = bench.world.hold("gate")
    call = bench.call("steps", "s", 100, "gate")
    bench.acts("gate hangs")
    bench.toy.link.lost("pulled out")
    bench.world.gates.pop("gate")
    gate.set()
    assert bench.answer(call).error == "CallLostError"
    wait_until(lambda: len(bench.world.toys) == 2, "the second opening")  # the answer goes out before the closing
    bench.condition(Condition.OK)
    acts = bench.world.acts
    assert acts.index(["s", "end"]) < acts.index("close")
    assert len(bench.port.replies[call.id]) == 1


def test_suspended_command_that_sticks_is_answered_once(bench: RunnerBench, impatient: None) -> None:
    bench.start()
    gate = bench.world.hold("slow")
    call = bench.call("steps", "s", 3, "slow", fence=1)
    bench.acts("slow hangs")
    bench.runner.raise_fence(2)
    bench.condition(Condition.FAULTY)
    gate.set()
    bench.condition(Condition.OK)
    assert bench.ask("write", "x", fence=2).value == "x"
    assert [reply.error for reply in bench.port.replies[call.id]] == ["CallLostError"]
