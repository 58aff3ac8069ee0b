"""The twin: the real driver on the pty of a board that it starts itself."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import DeviceOfflineError
from labkit.plugin import commands_of, feeds_of
from labkit_plugins.serial import SerialOptions, SerialPort, SimulatedSerialPort, labkit_drivers, labkit_panels
from labkit_plugins.twins.control import Control
from tests.frozen import freeze, thaw
from tests.plugins.serial.conftest import RecordingLink, read_to
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD

# A host of its own: opens the twin in the folder given, tells the board's process, and stays.
HOST = """
import sys
from pathlib import Path
from types import SimpleNamespace
from labkit_plugins.serial import SerialOptions, SimulatedSerialPort
from labkit_plugins.twins.control import Control
link = SimpleNamespace(name="bench-1/console", folder=Path(sys.argv[1]), emit=lambda *_: None, lost=print)
port = SimulatedSerialPort(SerialOptions(simulate=True), link)
port.open()
with Control(port.control) as board:
    print(board.ask("hello")["pid"], flush=True)
sys.stdin.read()
"""


def board_pid(twin: SimulatedSerialPort) -> int:
    with Control(twin.control, GUARD) as board:
        return int(board.ask("hello")["pid"])


def ask(twin: SimulatedSerialPort, line: bytes, answer: bytes) -> bytes:
    twin.write(line + b"\r")
    return read_to(twin, answer)


def test_plugin_brings_the_driver_with_its_twin_and_panel() -> None:
    assert labkit_drivers() == [SerialPort]
    assert SerialPort.simulated is SimulatedSerialPort
    (panel,) = labkit_panels()
    assert (panel.kind, panel.module.name) == ("serial", "panel.js")


def test_twin_has_the_same_options_commands_and_feeds() -> None:
    assert SimulatedSerialPort.Options is SerialOptions
    assert commands_of(SimulatedSerialPort) == commands_of(SerialPort)
    assert feeds_of(SimulatedSerialPort) == feeds_of(SerialPort)


def test_board_answers_through_the_driver(twin: SimulatedSerialPort, link: RecordingLink) -> None:
    twin.open()
    ask(twin, b"led 1 on", b"led 1 is on\r\n")
    assert link.data.startswith(b"led 1 on\r\nled 1 is on\r\n")  # and not with a banner from before it was opened


def test_leds_stay_over_close_and_open_with_the_same_board(twin: SimulatedSerialPort) -> None:
    twin.open()
    ask(twin, b"led 3 on", b"is on")
    pid = board_pid(twin)
    for _ in range(5):
        twin.close()
        twin.open()
        ask(twin, b"led 3", b"is on")
    assert board_pid(twin) == pid


def test_another_instance_in_the_same_process_finds_the_board(twin: SimulatedSerialPort, link: RecordingLink) -> None:
    twin.open()
    ask(twin, b"led 3 on", b"is on")
    twin.close()
    second = SimulatedSerialPort(twin.options, link)
    second.open()
    ask(second, b"led 3", b"is on")
    second.close()


def test_reset_goes_to_the_board(twin: SimulatedSerialPort) -> None:
    twin.open()
    ask(twin, b"led 1 on", b"is on\r\n> ")
    twin.reset()
    assert b"labkit board" in read_to(twin, b"help.\r\n> ")
    ask(twin, b"led 1", b"is off")


def test_break_goes_to_the_board(twin: SimulatedSerialPort) -> None:
    twin.open()
    twin.send_break(0.01)


def test_make_safe_by_reset(twin: SimulatedSerialPort, link: RecordingLink) -> None:
    options = SerialOptions.model_validate(
        {
            "simulate": True,
            "safe": {"reset": True, "expect": "Type help", "timeout": GUARD},
            "parity": "even",
            "bytesize": 7,
        }
    )
    port = SimulatedSerialPort(options, link)
    port.open()
    ask(port, b"led 1 on", b"is on\r\n> ")
    port.make_safe()
    ask(port, b"led 1", b"is off")
    port.close()


def test_unplugged_board_is_offline_until_it_is_plugged(twin: SimulatedSerialPort, link: RecordingLink) -> None:
    twin.open()
    with Control(twin.control, GUARD) as board:
        board.ask("unplug")
        assert "unplugged" in link.wait_lost()
        twin.close()
        with pytest.raises(DeviceOfflineError, match="simulated board of 'bench-1/console' is unplugged"):
            twin.open()
        board.ask("plug")
    twin.open()
    ask(twin, b"temp", b"temp is")


def test_killed_board_is_an_unplug_and_a_new_one_is_started(twin: SimulatedSerialPort, link: RecordingLink) -> None:
    twin.open()
    first = board_pid(twin)
    os.kill(first, signal.SIGKILL)
    link.wait_lost()
    twin.close()
    twin.open()
    assert board_pid(twin) != first
    ask(twin, b"led 1", b"is off")


def test_board_ends_with_its_killed_host_and_the_next_host_gets_its_own(
    twin: SimulatedSerialPort, link: RecordingLink
) -> None:
    command = [sys.executable, "-c", HOST, str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        first = int(host.stdout.readline())
        ended = os.pidfd_open(first)
        freeze(first)  # the worst case: the board is still there when the next host comes
        host.kill()
        host.wait(GUARD)
        opening = threading.Thread(target=twin.open)
        opening.start()
        thaw(first)
        opening.join(2 * GUARD)
        assert not opening.is_alive()
    assert select.select([ended], [], [], GUARD)[0]
    os.close(ended)
    assert board_pid(twin) != first
    ask(twin, b"temp", b"temp is")


def test_board_of_a_living_host_is_refused_by_its_process(
    twin: SimulatedSerialPort, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit_plugins.twins.programtwin.END_TIMEOUT", 0.2)
    command = [sys.executable, "-c", HOST, str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        host.stdout.readline()
        with pytest.raises(DeviceOfflineError, match=f"belongs to process {host.pid}. End that one first"):
            twin.open()
        assert host.stdin is not None
        host.stdin.close()


def test_folder_with_a_long_name_is_fine(link: RecordingLink, tmp_path: Path) -> None:
    folder = tmp_path / ("y" * 120)
    folder.mkdir()
    port = SimulatedSerialPort(SerialOptions.model_validate({"simulate": True}), replace(link, folder=folder))
    port.open()
    ask(port, b"temp", b"temp is")
    port.close()
    end_program(port)
    assert os.listdir(folder) == []
