"""What the driver asks of gpiod, at a stand-in for it; real chips are used by tests/hardware."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import gpiod
import pytest

from labkit.errors import DeviceOfflineError, SafeStateError
from labkit_plugins.gpio import Gpio, GpioOptions
from labkit_plugins.gpio.chips import Chips
from labkit_plugins.gpio.kernel import UnsupportedLinesError, request_lines
from labkit_plugins.gpio.lines import Lines
from tests.left_behind import nothing_left_behind
from tests.plugins.gpio.conftest import RecordingLink
from tests.plugins.gpio.stand_in import ChipInMemory, Gpiod
from tests.plugins.opening import opening

LINES = {"red": 3, "green": {"line": 4, "active_low": True, "initial": 1}, "button": {"line": 5, "direction": "in"}}


class KernelGpio(Gpio):
    """The driver itself, on chips in memory."""

    api: Gpiod

    def _request_lines(self) -> Lines:
        return request_lines(self.options, self.link.name, Chips(self.api, self.api.folder))


@pytest.fixture
def api(tmp_path: Path) -> Gpiod:
    folder = tmp_path / "dev"
    folder.mkdir()
    return Gpiod(folder)


@pytest.fixture
def chip(api: Gpiod) -> ChipInMemory:
    return api.add("gpiochip0", ChipInMemory("pinctrl-rp1"))


OpenGpio = Callable[..., Gpio]


@pytest.fixture
def open_gpio(api: Gpiod, link: RecordingLink) -> Iterator[OpenGpio]:
    def make(lines: dict[str, Any] | None = None, *, chip: str = "pinctrl-rp1", **more: Any) -> Gpio:
        options = GpioOptions.model_validate({"chip": chip, "lines": lines or LINES, **more})
        gpio = KernelGpio(options, link)
        gpio.api = api
        return gpio

    with opening(make) as open_it:
        yield open_it


def test_all_lines_are_one_request_with_the_device_as_consumer(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    open_gpio()
    (request,) = chip.requests
    assert request.offsets == [3, 4, 5]
    assert [line.consumer for line in chip.lines[3:6]] == ["labkit bench-1/leds"] * 3
    assert [chip.lines[3].level, chip.lines[4].level] == [0, 1]


def test_declared_lines_are_asked_for_in_gpiods_words(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    open_gpio(
        {
            "bus": {"line": 0, "drive": "open-drain", "pull": "up", "active_low": True},
            "key": {"line": 1, "direction": "in", "pull": "none", "debounce": 20, "edges": "falling"},
            "stop": {"line": 2, "direction": "in", "pull": "down"},
        }
    )
    kinds = gpiod.line
    bus, key, stop = (line.settings for line in chip.lines[:3])
    assert (bus.direction, bus.drive, bus.bias, bus.active_low) == (
        kinds.Direction.OUTPUT,
        kinds.Drive.OPEN_DRAIN,
        kinds.Bias.PULL_UP,
        True,
    )
    assert (key.direction, key.bias, key.edge_detection, key.debounce_period) == (
        kinds.Direction.INPUT,
        kinds.Bias.DISABLED,
        kinds.Edge.FALLING,
        timedelta(milliseconds=20),
    )
    assert (stop.bias, stop.edge_detection, stop.drive) == (
        kinds.Bias.PULL_DOWN,
        kinds.Edge.BOTH,
        kinds.Drive.PUSH_PULL,
    )


def test_forked_child_closes_its_copy_of_the_request_and_sets_nothing(api: Gpiod, chip: ChipInMemory) -> None:
    options = GpioOptions.model_validate({"chip": "pinctrl-rp1", "lines": LINES})
    lines = request_lines(options, "bench-1/leds", Chips(api, api.folder))
    lines.write({"red": 1, "green": 1}, None)
    with lines._lock:  # as where the reader's thread had it at the fork
        lines.let_go()
    assert chip.requests[0].released
    assert [chip.lines[3].level, chip.lines[4].level] == [1, 1]


def test_levels_are_written_and_read_back(open_gpio: OpenGpio, chip: ChipInMemory, link: RecordingLink) -> None:
    gpio = open_gpio()
    assert [gpio.write("red", 1), gpio.toggle("green"), gpio.read("button")] == [1, 0, 0]
    assert [chip.lines[3].level, chip.lines[4].level] == [1, 0]
    assert link.of("levels")[-1] == {"red": 1, "green": 0, "button": 0}


def test_safe_state_that_reads_back_differently_names_line_and_chip(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    gpio = open_gpio()
    chip.lines[3].stuck = 1
    with pytest.raises(
        SafeStateError, match=r"line 'red' \(line 3 of chip pinctrl-rp1\) was set to 0 but reads back 1"
    ):
        gpio.make_safe()


def test_edges_come_with_the_kernels_numbers(open_gpio: OpenGpio, chip: ChipInMemory, link: RecordingLink) -> None:
    open_gpio()
    chip.requests[0].change(5, 1)
    chip.requests[0].change(5, 0)
    assert [(edge["line"], edge["level"], edge["seqno"]) for edge in link.wait_edges(2)] == [
        ("button", 1, 1),
        ("button", 0, 2),
    ]


def test_close_sets_safe_levels_and_releases_the_request(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    gpio = open_gpio(safe={"green": 1})
    gpio.write("red", 1)
    gpio.write("green", 0)
    gpio.close()
    gpio.close()
    assert [chip.lines[3].level, chip.lines[4].level] == [0, 1]
    assert chip.requests[0].released


def test_chip_that_hangs_up_is_noticed_by_the_reader(
    open_gpio: OpenGpio, chip: ChipInMemory, link: RecordingLink
) -> None:
    gpio = open_gpio()
    chip.requests[0].hang_up()
    assert link.wait_lost() == "The GPIO chip of 'bench-1/leds' has gone (it hung up)."
    with pytest.raises(DeviceOfflineError, match="It is opened again when it is back"):
        gpio.health()
    gpio.close()
    with pytest.raises(DeviceOfflineError, match=r'A chip with the label "pinctrl-rp1" of .* is not there'):
        gpio.open()
    chip.gone = False
    gpio.open()
    assert gpio.all() == {"red": 0, "green": 1, "button": 0}


def test_chip_that_went_silently_is_noticed_by_the_next_command(
    open_gpio: OpenGpio, chip: ChipInMemory, link: RecordingLink
) -> None:
    gpio = open_gpio()
    chip.gone = True
    with pytest.raises(DeviceOfflineError, match="has gone"):
        gpio.write("red", 1)
    assert link.losses == ["The GPIO chip of 'bench-1/leds' has gone (No such device)."]


def test_fifty_openings_leave_no_descriptor_and_no_thread(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    gpio = open_gpio()
    gpio.close()
    with nothing_left_behind():
        for _ in range(50):
            gpio.open()
            gpio.make_safe()
            gpio.close()
    assert all(request.released for request in chip.requests)


# -- what is refused


def test_chip_that_is_absent_is_told_with_those_that_are_there(
    open_gpio: OpenGpio, api: Gpiod, chip: ChipInMemory
) -> None:
    api.add("gpiochip10", ChipInMemory("mcp23017", 16))
    api.add("gpiochip2", ChipInMemory("", forbidden=True))
    with pytest.raises(DeviceOfflineError) as refused:
        open_gpio(chip="pinctrl-rp2")
    folder = api.folder
    text = str(refused.value)
    assert text.startswith(
        "A chip with the label \"pinctrl-rp2\" of 'bench-1/leds' is not there. Chips of this machine: "
    )
    assert (
        f'{folder}/gpiochip0 (label "pinctrl-rp1", 8 lines); {folder}/gpiochip2 (this user may not open it); '
        f'{folder}/gpiochip10 (label "mcp23017", 16 lines).'
    ) in text


@pytest.mark.parametrize(("name", "why"), [("gpiochip7", "is not there"), ("null", "is no GPIO chip")])
def test_path_without_a_chip_says_so(open_gpio: OpenGpio, api: Gpiod, chip: ChipInMemory, name: str, why: str) -> None:
    (api.folder / "null").touch()
    with pytest.raises(
        DeviceOfflineError, match=f"Chip .*/{name} of 'bench-1/leds' {why}. Chips of this machine: .*rp1"
    ):
        open_gpio(chip=str(api.folder / name))


def test_chip_may_be_named_by_path_link_or_number(open_gpio: OpenGpio, api: Gpiod, chip: ChipInMemory) -> None:
    (api.folder / "relays").symlink_to(api.folder / "gpiochip0")
    for name in ("gpiochip0", str(api.folder / "gpiochip0"), str(api.folder / "relays")):
        open_gpio({"red": 3}, chip=name).close()
    assert len(chip.requests) == 3


def test_label_of_two_chips_means_neither(open_gpio: OpenGpio, api: Gpiod, chip: ChipInMemory) -> None:
    api.add("gpiochip1", ChipInMemory("pinctrl-rp1"))
    with pytest.raises(DeviceOfflineError, match=r'2 chips have the label "pinctrl-rp1" .* Say the path of one'):
        open_gpio()


def test_line_that_the_chip_does_not_have_says_how_many_it_has(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    with pytest.raises(
        DeviceOfflineError,
        match=r"Line 'red' of 'bench-1/leds' is declared as line 8, but chip pinctrl-rp1 \(.*\) has 8 lines, 0 to 7",
    ):
        open_gpio({"red": 8})


def test_claimed_lines_are_told_with_their_consumers(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    chip.lines[3].consumer = "led0"
    with pytest.raises(
        DeviceOfflineError, match=r"claimed elsewhere: 'red' \(line 3 of chip pinctrl-rp1\) by 'led0'\."
    ):
        open_gpio()
    assert chip.requests == []


def test_chip_that_this_user_may_not_open_says_what_grants_it(open_gpio: OpenGpio, api: Gpiod) -> None:
    api.add("gpiochip0", ChipInMemory("", forbidden=True))
    path = api.folder / "gpiochip0"
    path.chmod(0o660)
    group = os.stat(path).st_gid
    remedy = "Run: sudo usermod -aG" if group else "Give it a group by a udev rule"
    with pytest.raises(DeviceOfflineError, match=rf"may not open {path} of '.*' \(group .*, mode 0660\)\. {remedy}"):
        open_gpio(chip=str(path))
    with pytest.raises(DeviceOfflineError, match=f"this user may not open it.*{remedy}"):
        open_gpio()


@pytest.mark.parametrize("number", [errno.ENXIO, errno.EINVAL])
def test_chip_that_can_not_do_what_is_declared_says_what_to_leave_out(
    open_gpio: OpenGpio, chip: ChipInMemory, number: int
) -> None:
    chip.refusal = number
    with pytest.raises(UnsupportedLinesError, match=r'refused the lines of .*edges \(say edges = "none"\)'):
        open_gpio()


def test_chip_that_goes_while_it_is_opened_is_offline(open_gpio: OpenGpio, chip: ChipInMemory) -> None:
    chip.refusal = errno.ENODEV
    with pytest.raises(DeviceOfflineError, match=r"has gone: .*No such device"):
        open_gpio()


# -- scan


def test_scan_lists_chips_with_lines_consumers_and_what_to_paste(api: Gpiod, chip: ChipInMemory) -> None:
    chip.lines[0].consumer, chip.lines[0].name = "led0", "STATUS LED"
    chip.lines[1].name = "GPIO_17"
    (found,) = Chips(api, api.folder).scan()
    assert (found.title, found.path, found.trouble) == ("pinctrl-rp1", str(api.folder / "gpiochip0"), "")
    assert found.facts == {"lines": "8", "in use": "0 (led0)", "named": "0 STATUS LED, 1 GPIO_17"}
    assert found.options == {"chip": "pinctrl-rp1", "lines": {"gpio-17": {"line": 1, "direction": "in"}}}
    GpioOptions.model_validate(found.options)


def test_scan_shortens_long_lists_and_names_nameless_lines_by_number(api: Gpiod, chip: ChipInMemory) -> None:
    for line in chip.lines[:7]:
        line.consumer = "x"
    chip.lines += [type(chip.lines[0])(consumer="y") for _ in range(5)]
    (found,) = Chips(api, api.folder).scan()
    assert found.facts["in use"].endswith("8 (y) and 4 more")
    assert found.options["lines"] == {"line7": {"line": 7, "direction": "in"}}


def test_scan_names_chips_of_the_same_label_by_path(api: Gpiod, chip: ChipInMemory) -> None:
    api.add("gpiochip1", ChipInMemory("pinctrl-rp1"))
    assert [found.options["chip"] for found in Chips(api, api.folder).scan()] == [
        str(api.folder / "gpiochip0"),
        str(api.folder / "gpiochip1"),
    ]


def test_scan_tells_a_full_and_a_forbidden_chip(api: Gpiod, chip: ChipInMemory) -> None:
    for line in chip.lines:
        line.consumer = "x"
    api.add("gpiochip1", ChipInMemory("", forbidden=True))
    full, forbidden = Chips(api, api.folder).scan()
    assert full.trouble == "all of its lines are in use"
    assert forbidden.title == "gpiochip1"
    assert forbidden.trouble.startswith("user ")
    assert forbidden.remedy
    assert stat.S_ISREG(os.stat(forbidden.path).st_mode)


def test_scan_of_this_machine_raises_nothing() -> None:
    assert all(found.title for found in Gpio.scan())
