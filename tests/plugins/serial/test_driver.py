"""The real driver at a real pty whose far end is a board that records what reaches it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError, InterruptedCallError, SafeStateError
from labkit.plugin import commands_of, feeds_of
from labkit.testing.board import BoardProcess
from labkit_plugins.interruption import Operation
from labkit_plugins.serial import SerialOptions, SerialPort
from labkit_plugins.serial import driver as driver_module
from labkit_plugins.serial import line as line_module
from labkit_plugins.serial.driver import NoLinesError
from labkit_plugins.serial.reader import Reader
from tests.frozen import freeze, thaw
from tests.left_behind import nothing_left_behind
from tests.plugins.serial.conftest import RecordingLink, finish, read_to
from tests.toy import GUARD, wait_until

OpenPort = Callable[..., SerialPort]


def test_bytes_go_both_ways(open_port: OpenPort, board: BoardProcess, link: RecordingLink) -> None:
    port = open_port()
    assert port.write(b"led 1 on\r") == 9
    assert b"led 1 is on\r\n" in link.wait_data(b"led 1 is on\r\n> ")
    assert board.received() == b"led 1 on\r"


def test_all_256_bytes_arrive_unchanged(open_port: OpenPort, board: BoardProcess) -> None:
    everything = bytes(range(256))
    open_port().write(everything)
    assert board.wait_received(everything[-4:]) == everything


def test_commands_feeds_and_panel_flags() -> None:
    commands = commands_of(SerialPort)
    assert {name for name, spec in commands.items() if spec.panel} == {"write", "send_break", "reset"}
    assert set(commands) == {"write", "read_until", "send_break", "reset", "flush"}
    assert list(feeds_of(SerialPort)) == ["received"]
    assert commands["read_until"].bind([b"> "], {"timeout": 1}) == {"expected": b"> ", "timeout": 1}
    assert all(spec.help for spec in commands.values())


def test_declarations_are_checked_without_pyserial() -> None:
    code = "import sys, labkit_plugins.serial as s; s.SerialOptions(port='/dev/x'); print('serial' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_read_until_returns_up_to_and_including_what_is_expected(open_port: OpenPort) -> None:
    port = open_port()
    port.write(b"echo one\recho two\r")
    assert read_to(port, b"\r\none\r\n").endswith(b"\r\none\r\n")
    assert read_to(port, b"\r\ntwo\r\n") == b"> echo two\r\ntwo\r\n"


def test_read_until_gives_the_thread_back_while_it_waits(open_port: OpenPort) -> None:
    port = open_port()
    reading = port.read_until(b"hello\r\n", timeout=GUARD)
    assert inspect.isgenerator(reading)
    next(reading)
    port.write(b"echo hello\r")
    assert finish(reading).endswith(b"hello\r\n")


def test_read_until_that_times_out_tells_and_keeps_what_came_in(open_port: OpenPort, link: RecordingLink) -> None:
    port = open_port()
    port.write(b"echo x\r")
    link.wait_data(b"x\r\n> ")
    with pytest.raises(TimeoutError, match=r"b'nothing like it' did not come .* 0.1 s.*echo x"):
        finish(port.read_until(b"nothing like it", timeout=0.1))
    assert read_to(port, b"> ").endswith(b"x\r\n> ")


def test_flush_drops_what_was_not_read(open_port: OpenPort, link: RecordingLink) -> None:
    port = open_port()
    port.write(b"echo old\r")
    link.wait_data(b"old\r\n> ")
    port.flush()
    port.write(b"echo new\r")
    assert b"old" not in read_to(port, b"new\r\n")


def test_read_buffer_keeps_the_newest_64_kib_and_the_feed_has_all(open_port: OpenPort, link: RecordingLink) -> None:
    port = open_port()
    port.write(b"flood 200000\r")
    link.wait_data(b"\r\n> ")
    assert len(link.data) == len(b"flood 200000\r\n") + 200000 + len(b"\r\n> ")
    assert len(read_to(port, b"\r\n> ")) == 64 * 1024


def interrupted(port: SerialPort, blocked: Callable[[], Any]) -> None:
    """Run something in a thread that blocks for longer than is waited here, and interrupt it."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(blocked)
        wait_until(lambda: port._interruptions._running, "it to begin")
        with pytest.raises(FutureTimeout):
            running.result(0.3)
        port.interrupt()
        with pytest.raises(InterruptedCallError, match="bench-1/console"):
            running.result(GUARD)


def test_write_to_a_far_end_that_does_not_read_is_ended_by_interrupt(open_port: OpenPort, board: BoardProcess) -> None:
    port = open_port(write_timeout=60)
    board.control("hang")
    interrupted(port, lambda: port.write(b"x" * 1_000_000))
    board.control("normal")
    port.write(b"echo after\r")
    assert board.wait_received(b"echo after\r")


def test_read_is_ended_by_interrupt_and_the_next_command_is_unmarked(open_port: OpenPort) -> None:
    port = open_port()
    interrupted(port, lambda: finish(port.read_until(b"never", timeout=60)))
    port.write(b"echo fine\r")
    assert read_to(port, b"fine\r\n")


def test_interrupt_with_nothing_running_leaves_no_mark(open_port: OpenPort) -> None:
    port = open_port()
    port.interrupt()
    assert port.write(b"echo fine\r") == 10
    port.interrupt()
    assert read_to(port, b"fine\r\n")


def test_interrupt_ends_a_read_that_has_given_its_thread_back(open_port: OpenPort) -> None:
    port = open_port()
    reading = port.read_until(b"never", timeout=60)
    next(reading)
    port.interrupt()
    with pytest.raises(InterruptedCallError):
        finish(reading)


def test_send_break_is_ended_by_interrupt(open_port: OpenPort) -> None:
    port = open_port()
    interrupted(port, lambda: port.send_break(60))


def test_write_that_stands_still_fails_by_itself_and_says_how_far_it_came(
    open_port: OpenPort, board: BoardProcess
) -> None:
    port = open_port(write_timeout=0.2)
    board.control("hang")
    with pytest.raises(TimeoutError, match=r"took \d+ of 1000000 bytes, then none for 0.2 s"):
        port.write(b"x" * 1_000_000)


def test_a_slow_far_end_gets_every_byte(open_port: OpenPort, board: BoardProcess) -> None:
    data = os.urandom(300_000).replace(b"\r", b"x").replace(b"\n", b"x") + b"\x03end"
    assert open_port().write(data) == len(data)
    assert board.wait_received(b"\x03end") == data


def test_unplug_is_told_once_and_commands_say_so(open_port: OpenPort, board: BoardProcess, link: RecordingLink) -> None:
    port = open_port()
    board.control("unplug")
    assert "unplugged" in link.wait_lost()
    for attempt in (lambda: port.write(b"x"), lambda: read_to(port, b"x"), port.make_safe, port.reset):
        with pytest.raises(DeviceOfflineError, match="'bench-1/console' was unplugged"):
            attempt()
    assert len(link.losses) == 1
    port.close()
    port.close()
    with pytest.raises(DeviceOfflineError, match=r"Port .*/board of 'bench-1/console' is not there. Ports of this"):
        port.open()
    board.control("plug")
    port.open()
    port.write(b"led 1\r")
    assert read_to(port, b"led 1 is off")


def test_unplug_ends_a_blocked_write_and_a_waiting_read(open_port: OpenPort, board: BoardProcess) -> None:
    port = open_port(write_timeout=60)
    reading = port.read_until(b"never", timeout=60)
    next(reading)
    board.control("hang")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(port.write, b"x" * 1_000_000)
        board.control("unplug")
        with pytest.raises(DeviceOfflineError):
            writing.result(GUARD)
    with pytest.raises(DeviceOfflineError):
        finish(reading)


def test_open_and_close_twice_and_the_reader_thread_goes(open_port: OpenPort) -> None:
    port = open_port()
    port.open()
    assert "reader:bench-1/console" in {thread.name for thread in threading.enumerate()}
    port.close()
    port.close()
    assert "reader:bench-1/console" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(DeviceOfflineError, match="'bench-1/console' is not open"):
        port.write(b"x")


def test_opening_and_closing_leaks_no_descriptor(open_port: OpenPort, board: BoardProcess) -> None:
    port = open_port()
    port.write(b"x")
    port.close()
    with nothing_left_behind():
        for _ in range(5):
            board.control("ready")
            port.open()
            port.write(b"x")
            port.close()


def test_reset_of_a_tty_without_lines_says_so(open_port: OpenPort) -> None:
    with pytest.raises(NoLinesError, match="has no DTR and RTS"):
        open_port().reset()


def test_make_safe_tells_the_board_and_reads_its_answer(open_port: OpenPort, board: BoardProcess) -> None:
    port = open_port(safe={"send": "\x03halt\r", "expect": "all leds are off", "timeout": GUARD})
    port.write(b"led 1 on\rled 2 on\rled 3 o")  # the last line stands half typed
    port.make_safe()
    assert not any(board.control("led?")["leds"].values())
    assert board.received().endswith(b"\x03halt\r")


def test_make_safe_without_the_expected_answer_fails_with_what_came_back(
    open_port: OpenPort, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = open_port(safe={"send": "halt\r", "expect": "motor stopped", "timeout": 2.0})
    now = [0.0]

    def monotonic() -> float:
        """The two seconds are over as soon as the board has answered, and not before."""
        now[0] += 3.0 * (b"halted" in link.data)
        return now[0]

    monkeypatch.setattr(driver_module, "time", SimpleNamespace(monotonic=monotonic))
    with pytest.raises(SafeStateError, match=r"did not answer b'motor stopped' .* within 2 s. It sent: .*halted"):
        port.make_safe()


def test_make_safe_of_a_hung_board_ends_by_itself(open_port: OpenPort, board: BoardProcess) -> None:
    port = open_port(safe={"send": "halt\r", "expect": "off", "timeout": 0.3}, write_timeout=0.3)
    board.control("hang")
    with pytest.raises(TimeoutError):
        port.write(b"x" * 1_000_000)
    with pytest.raises(SafeStateError):
        port.make_safe()


def test_bytes_written_just_before_make_safe_reach_the_board(
    open_port: OpenPort, board: BoardProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board takes them as soon as anybody waits, and time goes on when it has."""
    port, now = open_port(), [1000.0]

    def wait(operation: Operation, seconds: float) -> None:
        thaw(board.process.pid)
        board.wait_received(b"last words\r")
        now[0] += seconds

    monkeypatch.setattr(line_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Operation, "wait", wait)
    freeze(board.process.pid)
    try:
        port.write(b"last words\r")
        port.make_safe()
    finally:
        thaw(board.process.pid)
    assert b"last words\r" in board.received()


def test_make_safe_drops_what_was_not_read(open_port: OpenPort, link: RecordingLink) -> None:
    port = open_port()
    port.write(b"echo old\r")
    link.wait_data(b"old\r\n> ")
    port.make_safe()
    port.write(b"echo new\r")
    assert b"old" not in read_to(port, b"new\r\n")


def test_make_safe_sets_the_speed_again_and_twice_is_fine(open_port: OpenPort) -> None:
    port = open_port(baudrate=57600)
    assert port._line is not None
    tty = port._line.fd  # an ordinary user could open no second one
    attributes = termios.tcgetattr(tty)
    attributes[2:6] = attributes[2] | termios.HUPCL, termios.ICANON | termios.ECHO, termios.B9600, termios.B9600
    termios.tcsetattr(tty, termios.TCSANOW, attributes)
    port.make_safe()
    port.make_safe()
    _, _, cflag, lflag, *speeds = termios.tcgetattr(tty)[:6]
    assert speeds == [termios.B57600, termios.B57600]
    assert not cflag & termios.HUPCL
    assert not lflag & (termios.ICANON | termios.ECHO)


def test_an_unusual_speed_is_set_and_reads_back(open_port: OpenPort) -> None:
    open_port(baudrate=31250).make_safe()


def test_something_that_is_no_tty_is_offline(tmp_path: Path, link: RecordingLink) -> None:
    (tmp_path / "file").touch()
    port = SerialPort(SerialOptions.model_validate({"port": str(tmp_path / "file")}), link)
    with pytest.raises(DeviceOfflineError, match=r"can't be used: .* Is it a serial port"):
        port.open()


def test_port_is_closed_where_its_reader_could_not_be_started(
    board: BoardProcess, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(reader: Reader) -> None:
        raise RuntimeError("can't start new thread")

    port = SerialPort(SerialOptions(port=str(board.path)), link)
    port.open()  # pyserial comes in
    port.close()
    with monkeypatch.context() as full, nothing_left_behind():
        full.setattr(Reader, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            port.open()
        port.close()
    port.open()
    assert port.write(b"led 1 on\r") == 9
    port.close()


def test_port_is_closed_where_its_reader_can_not_be_stopped(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = open_port()
    stop = Reader.stop

    def fails(reader: Reader) -> None:
        stop(reader)
        raise RuntimeError("it does not stop")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as broken:
        broken.setattr(Reader, "stop", fails)
        with pytest.raises(RuntimeError, match="it does not stop") as failed:
            port.close()
    assert failed.traceback  # which keeps all that is not closed from being closed as garbage
    assert len(os.listdir("/proc/self/fd")) < before - 1  # the reader's and the port's
    port.open()
    assert port.write(b"led 1 on\r") == 9
