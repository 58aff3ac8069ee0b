"""The driver on the lines of a simulated chip, whose far end the test has in its hands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.errors import CommandError, DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin import commands_of, feeds_of
from labkit_plugins.gpio import Gpio, ReadBackError, SimulatedGpio
from labkit_plugins.gpio import lines as lines_module
from tests.plugins.gpio.conftest import FarEnd, OpenTwin, RecordingLink
from tests.toy import GUARD, wait_until


def test_commands_feeds_and_panel_flags() -> None:
    commands = commands_of(Gpio)
    assert list(commands) == ["write", "read", "toggle", "pulse", "all", "lines"]
    assert [name for name, spec in commands.items() if not spec.panel] == ["read"]
    assert all(spec.help for spec in commands.values())
    assert {name: (feed.sort, bool(feed.help)) for name, feed in feeds_of(Gpio).items()} == {
        "levels": ("state", True),
        "edges": ("state", True),
    }


def test_declarations_are_checked_without_gpiod() -> None:
    code = (
        "import sys, labkit_plugins.gpio as g; g.GpioOptions(chip='x', lines={'a': 1}); print('gpiod' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("value", [1, True])
def test_level_may_be_a_number_or_a_truth(value: Any) -> None:
    assert commands_of(Gpio)["write"].bind(["red", value], {}) == {"line": "red", "value": 1}


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        ("write", ["red", 2], "value: Input should be 0 or 1"),
        ("write", ["red"], "missing a required argument: 'value'"),
        ("pulse", ["red", 0], "ms: Input should be greater than or equal to 1"),
        ("pulse", ["red", 10_001], "ms: Input should be less than or equal to 10000"),
        ("read", [17], "line: Input should be a valid string"),
    ],
)
def test_wrong_arguments_are_refused(command: str, arguments: list[Any], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        commands_of(Gpio)[command].bind(arguments, {})


def test_write_reaches_the_wire_and_returns_what_is_read_back(twin: SimulatedGpio, far: FarEnd) -> None:
    assert [twin.write("red", 1), twin.write("green", 1)] == [1, 1]
    assert {name: (line["level"], line["value"], line["by"]) for name, line in far.lines().items()} == {
        "red": (1, 1, "host"),
        "green": (0, 1, "host"),  # active low
        "button": (1, 0, "pull"),
    }


def test_every_write_is_confirmed_with_the_whole_picture(twin: SimulatedGpio, link: RecordingLink) -> None:
    twin.write("red", 1)
    twin.write("red", 1)
    assert link.of("levels") == [{"red": 1, "green": 0, "button": 0}] * 2


def test_toggle_turns_round_what_was_written(twin: SimulatedGpio) -> None:
    assert [twin.toggle("green"), twin.toggle("green"), twin.toggle("green")] == [1, 0, 1]


def test_read_all_and_lines_tell_what_is(twin: SimulatedGpio, far: FarEnd) -> None:
    twin.write("red", 1)
    far.drive("button", 0)
    assert [twin.read("red"), twin.read("button")] == [1, 1]
    assert twin.all() == {"red": 1, "green": 0, "button": 1}
    assert twin.lines() == {
        "red": {"line": 17, "direction": "out", "level": 1},
        "green": {"line": 27, "direction": "out", "level": 0},
        "button": {"line": 22, "direction": "in", "level": 1},
    }


def test_reading_what_is_known_is_no_news(twin: SimulatedGpio, link: RecordingLink) -> None:
    for _ in range(3):
        twin.all()
    assert link.of("levels") == [{"red": 0, "green": 0, "button": 0}]


def test_unknown_line_is_refused_with_the_nearest_one(twin: SimulatedGpio) -> None:
    message = r"'bench-1/leds' has no line 'gren'\. Did you mean green\? Its lines: red, green, button\."
    for refused in (lambda: twin.write("gren", 1), lambda: twin.read("gren"), lambda: twin.pulse("gren")):
        with pytest.raises(CommandError, match=message):
            refused()


def test_input_can_not_be_set(twin: SimulatedGpio, far: FarEnd) -> None:
    for refused in (lambda: twin.write("button", 1), lambda: twin.toggle("button"), lambda: twin.pulse("button")):
        with pytest.raises(CommandError, match=r"'button' of 'bench-1/leds' is an input .* Outputs: red, green\."):
            refused()
    assert far.lines()["button"]["by"] == "pull"


def test_device_of_inputs_says_that_it_has_no_outputs(open_twin: OpenTwin) -> None:
    twin = open_twin({"stop": {"line": 3, "direction": "in"}})
    twin.make_safe()
    with pytest.raises(CommandError, match="It has no outputs"):
        twin.write("stop", 1)


def test_output_that_something_else_drives_is_told_by_its_write(
    twin: SimulatedGpio, far: FarEnd, link: RecordingLink
) -> None:
    far.drive("red", 0)
    with pytest.raises(
        ReadBackError, match=r"line 'red' \(line 17 of chip simulated\) was set to 1 but reads back 0\."
    ):
        twin.write("red", 1)
    assert link.of("levels")[-1]["red"] == 0  # what the page shows is what is
    assert twin.write("green", 1) == 1  # and the other lines are none the worse


def test_open_drain_that_lets_go_may_be_held_low_by_others(open_twin: OpenTwin) -> None:
    twin = open_twin({"bus": {"line": 4, "drive": "open-drain", "pull": "up"}})
    far = FarEnd(twin)
    assert twin.write("bus", 1) == 1
    far.drive("bus", 0)
    assert twin.write("bus", 1) == 0
    twin.health()
    far.drive("bus", 1)
    with pytest.raises(ReadBackError, match="was set to 0 but reads back 1"):
        twin.write("bus", 0)
    far.control.close()


def test_outputs_begin_at_their_initial_level_and_inputs_at_their_pull(open_twin: OpenTwin) -> None:
    lines = {
        "fan": {"line": 1, "initial": 1},
        "heater": {"line": 2, "active_low": True},
        "lamp": 3,
        "door": {"line": 4, "direction": "in", "pull": "up"},
    }
    assert open_twin(lines, safe={"lamp": 1}).all() == {"fan": 1, "heater": 0, "lamp": 1, "door": 1}


# -- safe


def test_make_safe_sets_declared_levels_and_0_elsewhere(open_twin: OpenTwin, link: RecordingLink) -> None:
    twin = open_twin({"brake": 1, "motor": 2}, safe={"brake": 1})
    twin.write("brake", 0)
    twin.write("motor", 1)
    twin.make_safe()
    assert twin.all() == link.of("levels")[-1] == {"brake": 1, "motor": 0}


def test_output_that_does_not_become_safe_is_named(twin: SimulatedGpio, far: FarEnd) -> None:
    far.drive("green", 0)
    far.drive("red", 1)
    with pytest.raises(SafeStateError) as refused:
        twin.make_safe()
    assert str(refused.value) == (
        "'bench-1/leds' is not safe: line 'red' (line 17 of chip simulated) was set to 0 but reads back 1, "
        "line 'green' (line 27 of chip simulated) was set to 0 but reads back 1. "
        "Something else drives it: look at its wiring."
    )
    far.release("red")
    far.release("green")
    twin.make_safe()


def test_close_leaves_outputs_safe_and_gives_the_lines_back(twin: SimulatedGpio, far: FarEnd) -> None:
    twin.write("red", 1)
    twin.write("green", 1)
    twin.close()
    wait_until(lambda: {line["consumer"] for line in far.lines().values()} == {""}, "the lines to be free")
    assert {name: line["value"] for name, line in far.lines().items()} == {"red": 0, "green": 0, "button": 0}
    with pytest.raises(DeviceOfflineError, match="'bench-1/leds' is not open"):
        twin.all()


def test_health_finds_an_output_that_is_not_as_it_was_written(twin: SimulatedGpio, far: FarEnd) -> None:
    twin.write("red", 1)
    twin.health()
    far.drive("red", 0)
    with pytest.raises(ReadBackError, match=r"line 'red' .* was set to 1 but reads back 0"):
        twin.health()
    far.release("red")
    twin.health()


# -- edges


def test_edges_are_told_with_level_time_and_number(
    twin: SimulatedGpio, far: FarEnd, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, began = 1_000_000_000.0, time.monotonic_ns()
    clocks = SimpleNamespace(time=lambda: now, monotonic_ns=lambda: began)  # else they may be read seconds apart
    monkeypatch.setattr(lines_module, "time", clocks)
    far.drive("button", 0)
    far.drive("button", 1)
    edges = link.wait_edges(2)
    assert [(edge["line"], edge["level"], edge["seqno"]) for edge in edges] == [("button", 1, 1), ("button", 0, 2)]
    assert now <= edges[0]["at"] <= edges[1]["at"] <= now + (time.monotonic_ns() - began) / 1e9
    link.wait_levels(button=0)


def test_edges_count_from_1_again_when_the_device_is_opened_anew(
    twin: SimulatedGpio, far: FarEnd, link: RecordingLink
) -> None:
    far.drive("button", 0)
    link.wait_edges(1)
    twin.close()
    twin.open()
    far.drive("button", 1)
    assert [edge["seqno"] for edge in link.wait_edges(2)] == [1, 1]


def test_edge_that_is_told_while_all_lines_are_read_is_not_undone_by_what_was_read_before(
    twin: SimulatedGpio, far: FarEnd, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = twin._lines
    assert lines is not None
    read = lines.read

    def read_before_the_edge(operation: Any) -> dict[str, int]:
        levels = read(operation)
        far.drive("button", 0)
        link.wait_levels(button=1)
        return levels

    with monkeypatch.context() as late:
        late.setattr(lines, "read", read_before_the_edge)
        twin.write("red", 1)
    assert link.of("levels")[-1] == twin.all() == {"red": 1, "green": 0, "button": 1}
    far.drive("button", 1)
    link.wait_levels(button=0)
    twin.write("red", 0)
    assert link.of("levels")[-1] == {"red": 0, "green": 0, "button": 0}


def test_only_declared_edges_are_told(open_twin: OpenTwin, link: RecordingLink) -> None:
    kinds = {"up": "rising", "down": "falling", "both": "both", "quiet": "none"}
    twin = open_twin({name: {"line": i, "direction": "in", "edges": e} for i, (name, e) in enumerate(kinds.items())})
    far = FarEnd(twin)
    for level in (1, 0):
        for line in ("up", "down", "quiet", "both"):
            far.drive(line, level)
    told = [(edge["line"], edge["level"]) for edge in link.wait_edges(4)]
    assert told == [("up", 1), ("both", 1), ("down", 0), ("both", 0)]
    far.control.close()


def test_change_that_does_not_last_is_no_edge_of_a_debounced_input(open_twin: OpenTwin, link: RecordingLink) -> None:
    debounced = {"direction": "in", "debounce": 10_000}
    twin = open_twin({"key": {"line": 1, **debounced}, "quick": {"line": 2, **debounced, "debounce": 100}})
    far = FarEnd(twin)
    for level in (1, 0, 1, 0, 1):
        far.drive("key", level)
    assert twin.read("key") == 0  # not yet
    began = time.monotonic()
    far.drive("quick", 1)
    assert [(edge["line"], edge["level"]) for edge in link.wait_edges(1)] == [("quick", 1)]
    assert time.monotonic() - began >= 0.1
    link.wait_levels(key=0, quick=1)
    assert twin.read("quick") == 1
    far.control.close()


# -- pulse and interrupt


def test_pulse_goes_to_the_opposite_and_back(open_twin: OpenTwin, link: RecordingLink) -> None:
    twin = open_twin({"reset": {"line": 5, "active_low": True}}, safe={"reset": 1})
    twin.pulse("reset", 30)
    assert [levels["reset"] for levels in link.of("levels")] == [0, 1]


def interrupted(gpio: Gpio, blocked: Callable[[], Any], begun: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(blocked)
        wait_until(begun, "it to begin")
        gpio.interrupt()
        with pytest.raises(InterruptedCallError, match="bench-1/leds"):
            running.result(GUARD)


def test_interrupted_pulse_goes_back_at_once(twin: SimulatedGpio, far: FarEnd, link: RecordingLink) -> None:
    interrupted(twin, lambda: twin.pulse("red", 100_000), lambda: link.of("levels"))
    assert far.lines()["red"]["level"] == 0
    assert [levels["red"] for levels in link.of("levels")] == [1, 0]
    assert twin.write("red", 1) == 1  # the interrupt leaves no mark on what comes next


def test_interrupt_of_nothing_leaves_no_mark(twin: SimulatedGpio) -> None:
    twin.interrupt()
    twin.pulse("red", 1)
