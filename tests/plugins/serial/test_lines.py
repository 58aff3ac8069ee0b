"""The ioctls on DTR, RTS and break: a pty has no such lines, so they are recorded on their way to the kernel."""

from __future__ import annotations

import errno
import struct
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from labkit.errors import InterruptedCallError, SafeStateError
from labkit.testing.board import BoardProcess
from labkit_plugins.serial import SerialOptions, SerialPort
from labkit_plugins.serial.lines import TIOCCBRK, TIOCSBRK, Levels, Lines, NoBreakError
from tests.plugins.opening import opening
from tests.plugins.serial.conftest import RecordingLink
from tests.toy import GUARD

DTR, RTS, CTS = termios.TIOCM_DTR, termios.TIOCM_RTS, termios.TIOCM_CTS


@dataclass
class Uart:
    """The register behind the ioctls of a serial port that has lines; keeps all that was set."""

    bits: int = DTR | RTS | CTS
    done: list[str] = field(default_factory=list)
    stuck: int = 0
    during_set: Callable[[], None] = lambda: None

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        if request == termios.TIOCMGET:
            return struct.pack("I", self.bits)
        if request == termios.TIOCMSET:
            self.bits = struct.unpack("I", argument)[0] & ~self.stuck
            self.done.append(f"dtr={int(bool(self.bits & DTR))} rts={int(bool(self.bits & RTS))}")
            self.during_set()
        else:
            self.done.append({TIOCSBRK: "break on", TIOCCBRK: "break off"}[request])
        return argument


@pytest.fixture
def uart() -> Uart:
    return Uart()


@pytest.fixture
def open_at_uart(uart: Uart, board: BoardProcess, link: RecordingLink) -> Iterator[Callable[..., SerialPort]]:
    def make(**options: Any) -> SerialPort:
        checked = SerialOptions.model_validate({"port": str(board.path)} | options)
        return SerialPort(checked, link, make_lines=lambda fd: Lines(fd, uart.ioctl))

    with opening(make) as open_it:
        yield open_it


OpenPort = Callable[..., SerialPort]


def test_open_with_keep_touches_no_line(open_at_uart: OpenPort, uart: Uart) -> None:
    open_at_uart(dtr="keep", rts="keep").close()
    assert uart.done == []


def test_open_with_lines_already_at_rest_makes_no_edge(open_at_uart: OpenPort, uart: Uart) -> None:
    open_at_uart().close()
    assert uart.done == []


def test_open_sets_both_lines_in_one_step_and_leaves_the_others(open_at_uart: OpenPort, uart: Uart) -> None:
    open_at_uart(dtr=False, rts=False)
    assert uart.done == ["dtr=0 rts=0"]
    assert uart.bits == CTS


def test_reset_pulses_dtr_and_comes_back(open_at_uart: OpenPort, uart: Uart) -> None:
    open_at_uart(reset={"line": "dtr", "ms": 1}).reset()
    assert uart.done == ["dtr=0 rts=1", "dtr=1 rts=1"]


def test_reset_pulses_rts_from_its_resting_level(open_at_uart: OpenPort, uart: Uart) -> None:
    port = open_at_uart(dtr=False, rts=False, reset={"line": "rts", "ms": 1})
    uart.done.clear()
    port.reset()
    assert uart.done == ["dtr=0 rts=1", "dtr=0 rts=0"]


def test_reset_of_both_kept_lines_returns_to_what_they_were(open_at_uart: OpenPort, uart: Uart) -> None:
    uart.bits = DTR
    open_at_uart(dtr="keep", rts="keep", reset={"line": "both", "ms": 1}).reset()
    assert uart.done == ["dtr=0 rts=1", "dtr=1 rts=0"]


def test_interrupted_reset_puts_the_line_back(open_at_uart: OpenPort, uart: Uart) -> None:
    port = open_at_uart(reset={"ms": 5000})
    uart.during_set = port.interrupt
    with pytest.raises(InterruptedCallError):
        port.reset()
    assert uart.done == ["dtr=0 rts=1", "dtr=1 rts=1"]


def test_break_is_held_and_ended(open_at_uart: OpenPort, uart: Uart) -> None:
    open_at_uart().send_break(0.001)
    assert uart.done == ["break on", "break off"]


def test_make_safe_ends_a_break_and_restores_the_lines(open_at_uart: OpenPort, uart: Uart) -> None:
    port = open_at_uart(dtr=True, rts=False)
    uart.bits = RTS
    uart.done.clear()
    port.make_safe()
    assert uart.done == ["break off", "dtr=1 rts=0"]


def test_make_safe_fails_where_a_line_reads_back_differently(open_at_uart: OpenPort, uart: Uart) -> None:
    port = open_at_uart()
    uart.stuck = DTR
    uart.bits = 0
    with pytest.raises(SafeStateError, match="reads back differently: lines are DTR off, RTS on"):
        port.make_safe()


def test_make_safe_by_reset_waits_for_the_answer(open_at_uart: OpenPort, uart: Uart, board: BoardProcess) -> None:
    port = open_at_uart(safe={"reset": True, "expect": "Type help", "timeout": GUARD}, reset={"ms": 1})

    def on_release() -> None:
        if uart.done[-1] == "dtr=1 rts=1":
            board.control("reset")

    uart.during_set = on_release
    port.make_safe()
    assert uart.done == ["break off", "dtr=0 rts=1", "dtr=1 rts=1"]


def test_flow_control_keeps_rts_to_itself(open_at_uart: OpenPort, uart: Uart) -> None:
    uart.bits = 0
    open_at_uart(rtscts=True)
    assert uart.done == ["dtr=1 rts=0"]


@pytest.mark.parametrize("code", [errno.ENOTTY, errno.EINVAL])
def test_tty_without_lines_has_no_levels_and_no_error(code: int) -> None:
    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        raise OSError(code, "no lines")

    lines = Lines(0, ioctl)
    assert lines.levels() is None
    assert lines.set(dtr=True) is False
    lines.set_break(False)


def test_port_that_knows_no_break_has_none_to_end_and_says_so_where_one_is_to_begin() -> None:
    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        raise OSError(errno.EOPNOTSUPP, "as cdc-acm of Linux 6.1 does")

    lines = Lines(0, ioctl)
    lines.set_break(False)
    with pytest.raises(NoBreakError, match="can't send a break"):
        lines.set_break(True)


def test_port_that_has_gone_is_an_error() -> None:
    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        raise OSError(errno.EIO, "gone")

    with pytest.raises(OSError, match="gone"):
        Lines(0, ioctl).levels()
    with pytest.raises(OSError, match="gone"):
        Lines(0, ioctl).set_break(True)


def test_levels_say_themselves() -> None:
    assert str(Levels(dtr=True, rts=False)) == "DTR on, RTS off"
