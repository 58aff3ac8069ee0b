"""The serial driver on a real USB serial port (cdc-acm)."""

from __future__ import annotations

import os
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labkit.errors import DeviceOfflineError
from labkit_plugins.serial import SerialOptions, SerialPort
from tests.hardware.hands import (
    LONG,
    PORT,
    USB_SERIAL,
    FarEnd,
    RecordingLink,
    hand,
    plug_serial,
    unplug_serial,
    wait_for,
)

OpenPort = Callable[..., SerialPort]


@pytest.fixture
def open_port(link: RecordingLink) -> Iterator[OpenPort]:
    """Open the driver; options by keyword, by the USB serial number where they don't say where."""
    opened: list[SerialPort] = []

    def open_it(**options: Any) -> SerialPort:
        place = {} if "port" in options else {"match": {"usb_serial": USB_SERIAL}}
        port = SerialPort(SerialOptions.model_validate({**place, **options}), link)
        opened.append(port)
        port.open()
        return port

    yield open_it
    for port in opened:
        port.close()


def finish(generator: Any) -> Any:
    """Run a generator command to its end, as the host does."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("place", [{"match": {"usb_serial": USB_SERIAL}}, {"port": str(PORT)}], ids=["match", "by-id"])
def test_bytes_go_both_ways_on_a_port_opened_by_its_stable_name(
    open_port: OpenPort, link: RecordingLink, far_end: FarEnd, place: dict[str, Any]
) -> None:
    port = open_port(**place)
    every_byte = bytes(range(256)) * 8
    assert port.write(every_byte) == len(every_byte)
    far_end.wait_received(every_byte)
    far_end.send(every_byte)
    wait_for(lambda: every_byte in b"".join(link.of("received")), "all bytes in the feed")


def test_make_safe_is_proven_by_the_answer_of_the_far_end(open_port: OpenPort, far_end: FarEnd) -> None:
    port = open_port(safe={"send": "\x03halt\r", "expect": "off", "timeout": 30})
    port.make_safe()
    far_end.wait_received(b"\x03halt\r")


def test_framing_is_set_and_set_again_after_somebody_has_changed_it(open_port: OpenPort) -> None:
    port = open_port(baudrate=9600, bytesize=7, parity="even", stopbits=2)
    port.make_safe()
    hand("stty", "-F", str(PORT), "57600", "cs8", "-parenb", "-cstopb")  # root is kept out by no lock
    assert framing() == (termios.B57600, termios.CS8)
    port.make_safe()
    assert framing() == (termios.B9600, termios.CS7 | termios.PARENB | termios.CSTOPB)


def framing() -> tuple[int, int]:
    """Speed and frame of the port, read back from the kernel."""
    fd = os.open(PORT, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _, _, cflag, _, _, speed, _ = termios.tcgetattr(fd)
    finally:
        os.close(fd)
    return speed, cflag & (termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB)


def test_no_ordinary_user_can_open_a_port_that_is_open(open_port: OpenPort) -> None:
    os.chmod(PORT, 0o666)
    assert opened_by_nobody() == ""
    port = open_port()
    assert "busy" in opened_by_nobody()
    port.close()
    assert opened_by_nobody() == ""


def opened_by_nobody() -> str:
    """What an ordinary user is told who opens the port; '' where it opens."""
    done = subprocess.run(
        ["sh", "-c", f"exec 3<>{PORT}"], user="nobody", capture_output=True, text=True, timeout=LONG, check=False
    )
    return done.stderr.lower()


def test_program_that_has_the_port_is_named(open_port: OpenPort) -> None:
    with subprocess.Popen(["sh", "-c", f"exec 3<>{PORT}; echo; read never"], stdin=subprocess.PIPE, stdout=-1) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(DeviceOfflineError, match=rf"process {other.pid} \(\w*sh\w*\) has it open"):
            open_port()
        other.communicate()
    open_port().make_safe()


def test_unplugged_port_is_reported_and_opens_again_under_its_name(
    open_port: OpenPort, link: RecordingLink, far_end: FarEnd
) -> None:
    port = open_port()
    unplug_serial()
    assert "The serial port was unplugged" in link.wait_lost()
    with pytest.raises(DeviceOfflineError, match="was unplugged"):
        port.write(b"late")
    with pytest.raises(DeviceOfflineError, match=f"usb_serial = '{USB_SERIAL}' of 'bench-1/device' is not there"):
        port.open()
    plug_serial()
    port.open()
    port.make_safe()
    port.write(b"here again")
    far_end.wait_received(b"here again")
    assert b"late" not in far_end.received
    assert len(link.losses) == 1


def test_unplug_ends_a_read_that_waits(open_port: OpenPort) -> None:
    port = open_port()
    ends: list[BaseException] = []

    def read() -> None:
        try:
            finish(port.read_until(b"never", timeout=600))
        except DeviceOfflineError as error:
            ends.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    unplug_serial()
    reader.join(LONG)
    assert [type(end) for end in ends] == [DeviceOfflineError]
