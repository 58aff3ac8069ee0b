"""Lines are opened once, given back whatever happens, and leave nothing behind: no descriptor, no thread, no memory."""

from __future__ import annotations

import gc
import os
import sys
from types import FunctionType

import pytest

from labkit.errors import DeviceOfflineError
from labkit_plugins.gpio import Gpio, GpioOptions, SimulatedGpio, driver
from labkit_plugins.gpio.reader import EdgeReader
from tests.left_behind import nothing_left_behind
from tests.plugins.gpio.conftest import FarEnd, RecordingLink, options
from tests.toy import wait_until


def functions_of_the_driver() -> int:
    """How many functions of its module there are: those of its classes, and what was made and is held somewhere."""
    gc.collect()
    return sum(isinstance(one, FunctionType) and one.__module__ == driver.__name__ for one in gc.get_objects())


def test_openings_that_failed_leave_nothing_behind_for_forks(link: RecordingLink) -> None:
    Gpio(options(), link)
    before = functions_of_the_driver()
    for _ in range(50):
        Gpio(options(), link)  # the host makes one for each attempt
    assert functions_of_the_driver() == before


def test_forked_child_lets_go_of_all_that_live_though_one_fails(link: RecordingLink) -> None:
    told, tells = os.pipe()

    class Told(Gpio):
        def let_go(self) -> None:
            os.write(tells, self.link.name[-1:].encode())
            raise OSError("the chip has gone")

    living = [Told(options(), RecordingLink(link.folder, name=f"bench-1/{name}")) for name in "abc"]
    Told(options(), RecordingLink(link.folder, name="bench-1/gone"))
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    os.close(tells)
    with open(told, "rb") as file:
        assert sorted(file.read()) == sorted(b"abc")
    assert len(living) == 3


def test_line_that_is_claimed_elsewhere_is_named_with_its_consumer(twin: SimulatedGpio, far: FarEnd) -> None:
    twin.close()
    far.control.ask("claim red gpio-leds")
    with pytest.raises(DeviceOfflineError, match="Lines of 'bench-1/leds' are claimed elsewhere: 'red' by 'gpio-leds'"):
        twin.open()
    far.control.ask("unclaim red")
    twin.open()
    assert far.lines()["red"]["consumer"] == "labkit bench-1/leds"


def test_open_twice_is_fine_and_keeps_the_levels(twin: SimulatedGpio) -> None:
    twin.write("red", 1)
    twin.open()
    assert twin.read("red") == 1


def test_two_openings_of_the_same_lines_exclude_each_other(twin: SimulatedGpio, link: RecordingLink) -> None:
    second = SimulatedGpio(twin.options, link)
    with pytest.raises(DeviceOfflineError, match="'red' by 'labkit bench-1/leds'"):
        second.open()
    second.close()


def test_fifty_openings_leave_no_descriptor_and_no_thread(twin: SimulatedGpio) -> None:
    twin.close()
    twin.open()
    twin.close()
    with nothing_left_behind():
        for _ in range(50):
            twin.open()
            twin.close()


def test_outputs_are_safe_and_lines_given_back_where_the_reader_could_not_be_started(
    twin: SimulatedGpio, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(reader: EdgeReader) -> None:
        raise RuntimeError("can't start new thread")

    twin.close()
    with nothing_left_behind(), monkeypatch.context() as full:
        full.setattr(EdgeReader, "start", no_thread)
        full.setattr(twin, "options", options({"red": {"line": 17, "initial": 1}}))
        with pytest.raises(RuntimeError, match="can't start new thread"):
            twin.open()
        assert far.lines()["red"]["level"] == 1
        twin.close()
    wait_until(lambda: far.lines()["red"]["consumer"] == "", "the line to be free")
    assert far.lines()["red"]["level"] == 0


def test_lines_are_closed_where_the_reader_can_not_be_stopped(
    twin: SimulatedGpio, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.write("red", 1)
    stop = EdgeReader.stop

    def fails(reader: EdgeReader) -> None:
        stop(reader)
        raise RuntimeError("it does not stop")

    with monkeypatch.context() as broken:
        broken.setattr(EdgeReader, "stop", fails)
        with pytest.raises(RuntimeError, match="it does not stop"):
            twin.close()
    wait_until(lambda: far.lines()["red"]["consumer"] == "", "the lines to be free")
    assert far.lines()["red"]["level"] == 0


def test_without_gpiod_lines_are_refused_by_the_import(link: RecordingLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)  # as where the extra is not installed
    gpio = Gpio(GpioOptions.model_validate({"chip": "x", "lines": {"red": 1}}), link)
    with pytest.raises(ImportError, match="gpiod"):
        gpio.open()
