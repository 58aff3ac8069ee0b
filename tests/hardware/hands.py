"""Hands on the real devices: what is plugged in, what arrives at the far ends, and what a driver says meanwhile.

The limits keep a failing test from hanging and measure nothing: Python runs 12 to 16 times slower there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG = 120.0  # seconds

USB_SERIAL = "LAB0001"
PORT = Path("/dev/serial/by-id/usb-HWVM_Lab_Serial_LAB0001-if00")
FAR_PORT = "/dev/ttyGS0"
CHIP = "lab-gpio"


def hand(*command: str) -> str:
    """Do something to a device, from outside."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONG)
    return done.stdout.strip()


def wait_for(condition: Callable[[], Any], what: str = "", seconds: float = LONG) -> Any:
    """Wait until something is so, and return it."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited in vain for {what or condition}"
        time.sleep(0.05)
    return found


def settle() -> None:
    hand("udevadm", "settle", "--timeout=60")


def unplug_serial() -> None:
    hand("hw-unplug-serial")
    settle()
    wait_for(lambda: not os.path.lexists(PORT), "the end of the port's name")


def plug_serial() -> None:
    hand("hw-plug-serial")
    wait_for(PORT.exists, "the port's name")
    settle()


def cameras() -> list[Path]:
    """The stable names of the cameras."""
    return sorted(Path("/dev/v4l/by-path").glob("*-video-index0"))


def unplug_camera() -> None:
    hand("hw-unplug-camera")
    settle()
    wait_for(lambda: not cameras(), "the end of the camera's name")


def plug_camera() -> None:
    hand("hw-plug-camera")
    wait_for(cameras, "the camera's name")
    settle()


def plug_all() -> None:
    if not PORT.exists():
        plug_serial()
    if not cameras():
        plug_camera()


def level(line: int) -> int:
    """The level of a line of the chip, as the wire has it."""
    return int(hand("hw-gpio-read", str(line)))


def pull(line: int, direction: str) -> None:
    """Pull a line up or down, as something outside of the chip does."""
    hand("hw-gpio-pull", str(line), direction)


@dataclass
class RecordingLink:
    """A device's link that keeps what the driver gave."""

    folder: Path
    name: str = "bench-1/device"
    given: list[tuple[str, Any]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    looked_at: bool = False

    def emit(self, feed: str, data: Any) -> None:
        self.given.append((feed, data))

    def lost(self, reason: str) -> None:
        self.losses.append(reason)

    def watched(self, feed: str) -> bool:
        return self.looked_at

    def of(self, feed: str) -> list[Any]:
        return [data for name, data in list(self.given) if name == feed]

    def wait_lost(self) -> str:
        wait_for(lambda: self.losses, "word of the loss")
        return self.losses[0]


class FarEnd:
    """What is at the other end of the serial cable: keeps what arrives, and answers `halt` as a board does.

    It is there again by itself after an unplug, which hangs it up too.
    """

    def __init__(self) -> None:
        self.received = b""
        self._lines = b""
        self._fd = -1
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="far-end")

    def __enter__(self) -> FarEnd:
        self._thread.start()
        wait_for(lambda: self._fd >= 0, "the far end")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    def send(self, data: bytes) -> None:
        with self._writing:
            os.write(self._fd, data)

    def wait_received(self, expected: bytes) -> None:
        wait_for(lambda: expected in self.received, f"{expected!r} in {self.received[-200:]!r}")

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):  # unplugged
                self._serve()
            self._over.wait(0.1)

    def _serve(self) -> None:
        fd = os.open(FAR_PORT, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(fd)
            self._fd = fd
            while not self._over.is_set():
                self._read(fd)
        finally:
            with self._writing:
                self._fd = -1
                os.close(fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            self._over.wait(0.02)
            return
        if not data:
            raise OSError("hung up")
        self.received += data
        self._lines += data
        *lines, self._lines = self._lines.split(b"\r")
        for line in lines:
            if line.endswith(b"halt"):
                os.write(fd, b"all leds are off\r\n")
