"""The twin: the chip's program lives and dies, says what it is, and is wired to others."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError
from labkit.plugin import commands_of, feeds_of
from labkit_plugins.gpio import Gpio, GpioOptions, SimulatedGpio, labkit_drivers, labkit_panels
from labkit_plugins.gpio.node import NODE
from labkit_plugins.gpio.simulated import SimulatedLines
from labkit_plugins.twins.control import PACKET, Control, ControlError, listen, short_address
from tests.frozen import freeze, thaw
from tests.plugins.gpio.conftest import FarEnd, RecordingLink, options
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD, wait_until

# A host of its own: opens the twin in the folder given, tells the chip's process, and stays.
HOST = """
import sys
from pathlib import Path
from types import SimpleNamespace
from labkit_plugins.gpio import GpioOptions, SimulatedGpio
link = SimpleNamespace(name="bench-1/leds", folder=Path(sys.argv[1]), emit=lambda *_: None, lost=print)
gpio = SimulatedGpio(GpioOptions(simulate=True, lines={"red": 17}), link)
gpio.open()
gpio.write("red", 1)
print(gpio.ask("hello")["pid"], flush=True)
sys.stdin.read()
"""


# A host with two forked children: one closes the device, as at its exit; one lives on while the host opens anew.
FORKING_HOST = """
import os, sys, time
os.register_at_fork(after_in_child=lambda: time.sleep(0.2))  # a child may get its turn late
from pathlib import Path
from types import SimpleNamespace
from labkit_plugins.gpio import GpioOptions, SimulatedGpio
from labkit_plugins.twins.control import Control
link = SimpleNamespace(name="bench-1/leds", folder=Path(sys.argv[1]), emit=lambda *_: None, lost=print)
gpio = SimulatedGpio(GpioOptions(simulate=True, lines={"red": 17}), link)
gpio.open()
gpio.write("red", 1)
if not os.fork():
    gpio.close()
    os._exit(0)
os.wait()
alive, end = os.pipe()
if not os.fork():
    os.close(end)
    os.read(alive, 1)
    os._exit(0)
print("still on:", gpio.ask("lines")["lines"]["red"]["level"], gpio.read("red"))
gpio.close()
gpio.open()
print("opened again:", gpio.read("red"))
os.close(end)
os.wait()
gpio.close()
with Control(gpio.control) as control:
    control.ask("end")
    control.wait_for_end(30)
"""


def test_plugin_brings_the_driver_with_its_twin_and_panel() -> None:
    assert labkit_drivers() == [Gpio]
    assert Gpio.simulated is SimulatedGpio
    (panel,) = labkit_panels()
    assert (panel.kind, panel.module.name, panel.module.exists()) == ("gpio", "panel.js", True)


def test_twin_has_the_same_options_commands_and_feeds() -> None:
    assert SimulatedGpio.Options is GpioOptions
    assert commands_of(SimulatedGpio) == commands_of(Gpio)
    assert feeds_of(SimulatedGpio) == feeds_of(Gpio)


def test_chip_says_what_it_is_to_who_asks(twin: SimulatedGpio) -> None:
    hello = twin.ask("hello")
    assert {key: hello[key] for key in ("kind", "parent", "plugged", "faults")} == {
        "kind": "gpio", "parent": os.getpid(), "plugged": True, "faults": [],
    }  # fmt: skip
    assert twin.ask("lines")["lines"]["button"] == {
        "level": 1, "value": 0, "by": "pull", "consumer": "labkit bench-1/leds", "line": 22, "direction": "in",
        "active_low": True,
    }  # fmt: skip
    with pytest.raises(ControlError, match="there is no line 'gren'; there are: red, green, button"):
        twin.ask("drive gren 1")


def test_who_watches_gets_every_line_as_it_is_and_then_each_change(twin: SimulatedGpio, far: FarEnd) -> None:
    with Control(twin.control, GUARD) as watcher:
        watcher.ask("watch")

        def told() -> Any:
            packet = watcher.receive()
            assert packet is not None
            return packet["line"], packet["level"], packet["value"]

        assert [told() for _ in range(3)] == [("red", 0, 0), ("green", 1, 0), ("button", 1, 0)]
        twin.write("green", 1)
        far.drive("button", 0)
        assert [told() for _ in range(2)] == [("green", 0, 1), ("button", 0, 1)]


def test_lines_are_there_before_they_are_opened_and_stay_when_they_are_closed(
    twin: SimulatedGpio, far: FarEnd, link: RecordingLink
) -> None:
    far.drive("button", 0)
    pid = twin.ask("hello")["pid"]
    for _ in range(3):
        twin.close()
        assert far.lines()["button"]["level"] == 0
        twin.open()
        assert twin.read("button") == 1
    assert twin.ask("hello")["pid"] == pid


def test_another_declaration_in_the_same_process_gets_its_own_lines(twin: SimulatedGpio, link: RecordingLink) -> None:
    twin.close()
    other = SimulatedGpio(options({"blue": 5}), link)
    other.open()
    assert other.all() == {"blue": 0}
    assert list(other.ask("lines")["lines"]) == ["blue"]
    other.close()


def test_killed_chip_is_an_unplug_and_a_new_one_is_started(twin: SimulatedGpio, link: RecordingLink) -> None:
    twin.write("red", 1)
    first = twin.ask("hello")["pid"]
    os.kill(first, signal.SIGKILL)
    assert "The GPIO chip of 'bench-1/leds' has gone" in link.wait_lost()
    with pytest.raises(DeviceOfflineError, match=r"has gone .* It is opened again when it is back"):
        twin.write("red", 0)
    twin.close()
    twin.open()
    assert twin.ask("hello")["pid"] != first
    assert twin.all() == {"red": 0, "green": 0, "button": 0}
    assert len(link.losses) == 1


def test_chip_ends_with_its_killed_host_and_the_next_host_gets_its_own(link: RecordingLink) -> None:
    command = [sys.executable, "-c", HOST, str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        first = int(host.stdout.readline())
        ended = os.pidfd_open(first)
        host.kill()
        host.wait(GUARD)
    assert select.select([ended], [], [], GUARD)[0]
    os.close(ended)
    twin = SimulatedGpio(options({"red": 17}), link)
    twin.open()
    assert twin.read("red") == 0
    twin.close()
    end_program(twin)
    assert os.listdir(link.folder) == []


def test_forked_child_keeps_no_lines_and_touches_none(link: RecordingLink) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING_HOST, str(link.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.stdout, ended.stderr) == ("still on: 1 1\nopened again: 0\n", "")


def test_chip_starts_in_a_folder_whose_modules_have_names_of_the_standard_library(
    link: RecordingLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the lab has a module of this name')")
    monkeypatch.chdir(tmp_path)
    twin = SimulatedGpio(options(), link)
    twin.open()
    assert twin.write("red", 1) == 1
    twin.close()
    end_program(twin)


@pytest.fixture
def stopped(twin: SimulatedGpio) -> Iterator[SimulatedGpio]:
    """A twin that is closed, whose chip is stopped until the test ends."""
    pid = twin.ask("hello")["pid"]
    twin.close()
    freeze(pid)
    yield twin
    thaw(pid)
    with ExitStack() as waiting:
        wait_until(lambda: waits_at(twin.control, waiting), "the chip to take connections again")


def test_connecting_to_a_stopped_chip_ends_by_itself(stopped: SimulatedGpio) -> None:
    node, control = stopped.link.folder / NODE, stopped.control
    with ExitStack() as waiting:
        for path in (node, control):
            while waits_at(path, waiting):
                continue
        with pytest.raises(
            DeviceOfflineError, match=r"The simulated chip of 'bench-1/leds' is there and takes no conn"
        ):
            stopped.open()
        with pytest.raises(BlockingIOError):
            SimulatedLines(node, stopped.options, "bench-1/leds")


def waits_at(path: Path, waiting: ExitStack) -> bool:
    """Have one more connection wait there; False where no more are taken."""
    connection = waiting.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    connection.setblocking(False)
    try:
        with short_address(path) as address:
            connection.connect(address)
    except BlockingIOError:
        return False
    return True


def test_chip_whose_node_takes_no_connections_is_offline(twin: SimulatedGpio, link: RecordingLink) -> None:
    twin.close()
    (link.folder / NODE).unlink()
    with listen(link.folder / NODE), ExitStack() as waiting:
        while waits_at(link.folder / NODE, waiting):
            continue
        with pytest.raises(DeviceOfflineError, match="takes no connections: it is stopped or very busy"):
            twin.open()


WIRING = {"line": 1, "direction": "in", "pull": "keep", "drive": "push-pull", "active_low": False, "debounce": 0,
          "edges": "both", "initial": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[" * 50_000, "not a JSON object"),
        ('{"request": "x"}', "KeyError: 'lines'"),
        ('{"request": "x", "lines": 3}', "AttributeError"),
        ('{"request": "x", "lines": {"a": 3}}', "AttributeError"),
        ('{"request": "x", "lines": {"a": {"line": 1, "direction": "in"}}}', "ValueError: line 'a' needs pull, drive"),
        (json.dumps({"request": "x", "lines": {"a": WIRING | {"debounce": "1"}}}), "line 'a' needs debounce"),
        ("{}", "request lines first"),
    ],
)
def test_packet_that_makes_no_sense_is_refused_and_the_chip_goes_on(
    twin: SimulatedGpio, link: RecordingLink, text: str, error: str
) -> None:
    assert error in said_to_the_node(link, text)[0]["error"]
    assert twin.write("red", 1) == 1
    assert list(twin.ask("lines")["lines"]) == ["red", "green", "button"]


@pytest.mark.parametrize(
    ("levels", "error"),
    [(3, "TypeError"), ({"blue": 1}, "there is no line 'blue'"), ({"a": 1}, "inputs"), ({"b": "on"}, "0 or 1")],
)
def test_levels_that_make_no_sense_are_refused(
    twin: SimulatedGpio, link: RecordingLink, levels: Any, error: str
) -> None:
    twin.close()
    wiring = {"a": WIRING, "b": WIRING | {"line": 2, "direction": "out"}}
    request = json.dumps({"request": "x", "lines": wiring})
    _, answer = said_to_the_node(link, request, json.dumps({"tag": 7, "set": levels}))
    assert answer["tag"] == 7
    assert error in answer["error"]
    assert twin.ask("lines")["lines"]["b"]["level"] == 0


def said_to_the_node(link: RecordingLink, *packets: str) -> list[dict[str, Any]]:
    """Say these to a chip as a host does; its answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(GUARD)
        with short_address(link.folder / NODE) as address:
            connection.connect(address)
        answers = []
        for packet in packets:
            connection.send(packet.encode())
            answers.append(json.loads(connection.recv(PACKET)))
        return answers


def test_folder_with_a_long_name_is_fine(link: RecordingLink) -> None:
    link.folder = link.folder / ("y" * 120)
    link.folder.mkdir()
    twin = SimulatedGpio(options(), link)
    twin.open()
    assert twin.write("red", 1) == 1
    twin.close()
    end_program(twin)


def test_program_without_a_folder_says_what_it_needs() -> None:
    command = [sys.executable, "-m", "labkit_plugins.gpio.chip"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, "say --folder" in ended.stderr) == (2, True)


def test_reader_ends_with_the_device(twin: SimulatedGpio) -> None:
    assert [thread for thread in threading.enumerate() if thread.name == "edges:bench-1/leds"]
    twin.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "edges:bench-1/leds"]
