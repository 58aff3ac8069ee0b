"""BoardProcess: a simulated board as a process of its own, with a record of all that reached it. For tests.

The record is written at the far end of a real pty, so it is the truth about what came out of the driver and when.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0


class BoardProcess:
    """A running board behind the tty `path`. Ends with `stop`, with the block of `with`, or with this process."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path, record: Path, control: Path):
        self.process = process
        self.path = path
        self.record = record
        self.control_path = control

    @classmethod
    def start(cls, path: Path, *, record: Path | None = None, control: Path | None = None) -> Self:
        """Start a board and return when its tty is there. Record and control channel lie beside it by default."""
        record = record or path.with_name(f"{path.name}.record")
        control = control or path.with_name(f"{path.name}.control")
        command = [sys.executable, "-m", "labkit_plugins.serial.board", "--parent", str(os.getpid())]
        command += ["--path", str(path), "--record", str(record), "--control", str(control)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, cwd=_source()
        )
        board = cls(process, path, record, control)
        try:
            board._wait_until_ready()
        except BaseException:
            board.stop()
            raise
        return board

    def stop(self) -> None:
        """End the board and wait for it. Twice is fine."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:  # stopped by a test's SIGSTOP, for example
            self.process.kill()
            self.process.wait(_START_TIMEOUT)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def records(self) -> list[dict[str, Any]]:
        """Everything that happened at the far end, oldest first: `t`, `event`, and `data` of what was received."""
        lines = self.record.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def received(self) -> bytes:
        """All bytes that have reached the board."""
        texts = (record["data"] for record in self.records() if record["event"] == "received")
        return "".join(texts).encode("latin-1")

    def wait_received(self, expected: bytes, timeout: float = 30.0) -> bytes:
        """Wait until `expected` has reached the board, and return all that has. Errors: TimeoutError."""
        ends, pause = time.monotonic() + timeout, threading.Event()
        while expected not in (received := self.received()):
            if time.monotonic() > ends:
                raise TimeoutError(f"{expected!r} did not reach the board within {timeout:g} s, only: {received!r}")
            pause.wait(0.01)
        return received

    def control(self, request: str, timeout: float = 30.0) -> dict[str, Any]:
        """Ask the board over its control channel: reset, unplug, plug, hang, garbage, slow, normal, led?."""
        folder = os.open(self.control_path.parent, os.O_PATH | os.O_DIRECTORY)  # a socket's address is short
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
                channel.settimeout(timeout)
                channel.connect(f"/proc/self/fd/{folder}/{self.control_path.name}")
                channel.send(request.encode())
                answer: dict[str, Any] = json.loads(channel.recv(65536))
        finally:
            os.close(folder)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return (
            f"<BoardProcess {self.path} pid={self.process.pid} {'running' if self.process.poll() is None else 'ended'}>"
        )

    def _wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _START_TIMEOUT)
        if not ready or not self.process.stdout.readline():
            raise RuntimeError(f"The simulated board at {self.path} did not start; its own words are on stderr.")


def _source() -> Path:
    """The folder that holds the packages, so that the board runs the same code also where nothing is installed."""
    return Path(__file__).resolve().parents[2]
