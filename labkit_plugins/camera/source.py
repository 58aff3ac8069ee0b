"""A source of pictures that runs: the other end of a pipe or socket on which pictures come. Used by `capture.py`.

Behind it is a program: the grabber, which reads the real thing with FFmpeg, or the scene of the twin. So whoever reads
here never waits for a camera, and can end it at any moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from labkit_plugins.camera import grabber
from labkit_plugins.camera.grabber import HEADER, PICTURE, PROBLEM, STARTED, Plan

FRAMES = "frames"
"""Name of the socket, in the device's folder, on which a twin's program gives pictures."""

SIZE, RATE = "640x360", 10.0
"""What is drawn, as a scene or a test pattern, where the declaration does not say."""

_CHUNK = 256 * 1024
_PIPE = 1024 * 1024  # what the kernel gives an ordinary user's pipe at most
_LARGEST = 64 * 1024 * 1024  # what claims to be larger is no picture
_GOODBYE = 0.5  # seconds in which a program may say goodbye to its camera
_PACKAGES = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Started:
    """The source is being opened now: from here on its pictures are awaited."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What claims to be a picture. captured: UTC seconds."""

    data: bytes
    captured: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """There is no more; the source has to be begun anew."""

    reason: str


Said = Started | Picture | Ended


class Source(Protocol):
    """What runs. `fd` is readable where `read` has something to say; `close` ends it, within a second."""

    @property
    def fd(self) -> int: ...
    def read(self) -> Iterator[Said]: ...
    def close(self) -> None: ...


class Packets:
    """Makes what was said out of the bytes that have come."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def add(self, data: bytes) -> Iterator[Said]:
        self._waiting += data
        while len(self._waiting) >= HEADER.size:
            kind, length, at = HEADER.unpack_from(self._waiting)
            if kind not in (STARTED, PICTURE, PROBLEM) or length > _LARGEST:
                yield Ended(reason="what comes can't be read")
                return
            if len(self._waiting) < HEADER.size + length:
                return
            content = bytes(self._waiting[HEADER.size : HEADER.size + length])
            del self._waiting[: HEADER.size + length]
            if kind == PICTURE:
                yield Picture(data=content, captured=at)
            else:
                yield Started() if kind == STARTED else Ended(reason=content.decode("utf-8", "replace"))


class _Abandoned(threading.Thread):
    """Waits for a program that hangs in the kernel, which lets nobody end it. It lives as long as that does."""

    def __init__(self, program: subprocess.Popen[bytes], url: str):
        super().__init__(name="camera-abandoned", daemon=True)
        self.url = url
        self.pid = program.pid
        self._program = program

    def run(self) -> None:
        self._program.wait()


def _refuse_while_abandoned(url: str) -> None:
    """Errors: OSError where a program that read this can't be ended: the next one would hang beside it."""
    for thread in threading.enumerate():
        if isinstance(thread, _Abandoned) and thread.url == url:
            thread.join(_GOODBYE)  # on a busy machine it may only be late
            if thread.is_alive():
                raise OSError(f"process {thread.pid}, which read it, hangs in the kernel, where nothing can end it")


class ProgramSource:
    """A running grabber. Errors of the constructor: OSError where no program can be started, or where the one before
    can't be ended: those would become more and more."""

    def __init__(self, plan: Plan):
        _refuse_while_abandoned(plan.url)
        self._url = plan.url
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]))
        self._program = subprocess.Popen(
            [sys.executable, "-P", grabber.__file__],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._packets = Packets()
        self._out, told = self._program.stdout, self._program.stdin
        if self._out is None or told is None:
            raise OSError("no pipe to the program")
        self.fd = self._out.fileno()
        os.set_blocking(self.fd, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _PIPE)
        with contextlib.suppress(OSError):
            told.write(json.dumps(asdict(plan)).encode())
        with contextlib.suppress(OSError):
            told.close()

    def read(self) -> Iterator[Said]:
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return
        if data:
            yield from self._packets.add(data)
        else:
            yield Ended(reason=f"the program that reads it ended ({self._end()})")

    def close(self) -> None:
        """End the program: a word of goodbye to a network camera if it can say it at once, else as it is."""
        if self._out is None:
            return
        self._program.terminate()
        self._out.close()
        self._out = None
        if not self._gone(_GOODBYE):
            self._program.kill()
            if not self._gone(_GOODBYE):
                _Abandoned(self._program, self._url).start()

    def _gone(self, seconds: float) -> bool:
        try:
            self._program.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _end(self) -> str:
        if not self._gone(_GOODBYE):
            return "its output is closed"
        code = self._program.returncode
        return f"by {signal.Signals(-code).name}" if code < 0 else f"status {code}"


class SocketSource:
    """Pictures from a twin's program that listens; `connected` is asked to begin by one byte, and is ours from here on.

    Errors: OSError: it has hung up already."""

    def __init__(self, connected: socket.socket):
        self._socket = connected
        self._packets = Packets()
        self.fd = connected.fileno()
        connected.setblocking(False)
        try:
            connected.send(b"\n")
        except OSError:
            connected.close()
            raise

    def read(self) -> Iterator[Said]:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            yield from self._packets.add(data)
        else:
            yield Ended(reason="it has hung up")

    def close(self) -> None:
        self._socket.close()
