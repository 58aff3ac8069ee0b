"""The simulated board: a program that behaves like a small microcontroller on a real tty.

    python -m labkit_plugins.serial.board --path /tmp/board [--control SOCKET] [--record FILE]

Started by the simulated serial port, by tests, or by hand (then open the path with any terminal program). It sleeps in
one `poll` and never wakes for nothing. When the last program closes the tty, the board goes on with a new pty behind
the same path; like a real board it keeps its state and says nothing until it is asked.

A pty that was never opened shows no hang-up; one that was closed shows it for ever, and is replaced at once. So the
loop neither has to look again and again whether somebody came, nor can it spin on a hang-up.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from labkit_plugins.serial.control import PACKET, listen
from labkit_plugins.serial.farend import FarEnd
from labkit_plugins.serial.firmware import Firmware

_OUTPUT_LIMIT = 64 * 1024  # a board that can't get rid of its output listens to nothing new


class Record:
    """What happened at the far end, a JSON line for each event, written at once: the truth that tests read.

    `t` is CLOCK_MONOTONIC in seconds; the bytes of an event `received` are in `data`, a character for each byte.
    """

    def __init__(self, path: Path | None):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = None if path is None else os.open(path, flags, 0o644)

    def write(self, event: str, **facts: Any) -> None:
        if self._fd is not None:
            line = json.dumps({"t": time.monotonic(), "event": event, **facts})
            os.write(self._fd, line.encode() + b"\n")


class Board:
    """The running board: its firmware, its far end of the tty, its control channel."""

    def __init__(self, path: Path, *, control: Path | None, record: Path | None, parent: int | None):
        self._parent = parent
        self._parent_fd = None if parent is None else _watch(parent)
        self._record = Record(record)
        self._firmware = Firmware(time.monotonic)
        self._far = FarEnd(path)
        self._hung = False
        self._control_path = control
        self._listener: socket.socket | None = None
        self._ended = False
        self._clients: dict[int, socket.socket] = {}
        self._requests: dict[str, Callable[[list[str]], None]] = {
            "hello": lambda words: None,
            "ready": lambda words: self._replace_if_hung_up(),
            "reset": lambda words: self._reset(),
            "unplug": lambda words: self._unplug(),
            "plug": lambda words: self._plug(),
            "hang": lambda words: self._hang(True),
            "resume": lambda words: self._hang(False),
            "break": lambda words: self._record.write("break", seconds=float(words[0])),
            "led?": lambda words: None,
            "end": lambda words: self._stop(),
        }

    def open(self) -> None:
        """Put the tty behind its path, with the boot banner waiting in it, and listen on the control channel."""
        self._far.plug()
        if self._control_path is not None:
            self._listener = listen(self._control_path)
        self._reset()

    def run(self) -> None:
        """Work until the parent process is gone or somebody says `end`; SIGTERM and SIGINT end it too."""
        while not self._ended:
            ready = dict(self._poll().poll())
            if self._parent_fd in ready:
                return
            if self._listener is not None and self._listener.fileno() in ready:
                self._accept(self._listener)
            for fd in ready.keys() & self._clients.keys():
                self._answer(self._clients[fd])
            if self._far.fd in ready:
                self._serve(ready[self._far.fd])

    def end(self) -> None:
        """Take path and socket away; who waits on the control channel for our end sees it last."""
        self._far.unplug()
        if self._listener is not None and self._control_path is not None:
            self._control_path.unlink(missing_ok=True)
        for opened in (self._listener, *self._clients.values()):
            if opened is not None:
                opened.close()

    def _poll(self) -> select.poll:
        poll = select.poll()
        for fd in (self._parent_fd, self._listener and self._listener.fileno(), *self._clients):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        if self._far.fd is not None:
            listening = not self._hung and len(self._far.pending) < _OUTPUT_LIMIT
            wanted = (select.POLLIN if listening else 0) | (select.POLLOUT if self._far.pending else 0)
            poll.register(self._far.fd, wanted)  # a hang-up is told even where nothing is wanted
        return poll

    def _serve(self, events: int) -> None:
        if events & select.POLLIN:
            self._take(self._far.read())
        self._far.send()
        if events & select.POLLHUP:
            self._replace_if_hung_up()

    def _take(self, data: bytes | None) -> None:
        if data:
            self._record.write("received", data=data.decode("latin-1"))
            self._far.pending += self._firmware.feed(data)

    def _replace_if_hung_up(self) -> None:
        """Where the last user of the tty has closed it: take in its last bytes, then offer a new pty."""
        if self._far.fd is None or not _is_hung_up(self._far.fd):
            return
        while not self._hung and (data := self._far.read()):
            self._take(data)
        self._record.write("hangup")
        self._far.plug()

    def _reset(self) -> None:
        self._record.write("boot")
        self._far.pending += self._firmware.reset()
        self._far.send()

    def _unplug(self) -> None:
        self._far.unplug()
        self._record.write("unplug")

    def _plug(self) -> None:
        if self._far.fd is None:
            self._record.write("plug")
            self._far.plug()
            self._reset()  # it had no power meanwhile

    def _stop(self) -> None:
        self._ended = True

    def _hang(self, hung: bool) -> None:
        self._hung = hung

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        client.setblocking(False)
        self._clients[client.fileno()] = client

    def _answer(self, client: socket.socket) -> None:
        try:
            request = client.recv(PACKET).decode("utf-8", "replace")
            if not request:
                raise ConnectionResetError
            client.send(json.dumps(self._do(request)).encode())
        except OSError:  # the client has gone, or does not take its answers
            del self._clients[client.fileno()]
            client.close()

    def _do(self, request: str) -> dict[str, Any]:
        name, *words = request.split() or [""]
        if name not in self._requests:
            return {"error": f"unknown request {name!r}; there are: {', '.join(self._requests)}"}
        try:
            self._requests[name](words)
        except (IndexError, ValueError) as error:
            return {"error": f"{request!r}: {error}"}
        return {
            "pid": os.getpid(),
            "parent": self._parent,
            "plugged": self._far.fd is not None,
            "hung": self._hung,
            "leds": self._firmware.leds,
        }


def _is_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _watch(parent: int) -> int:
    """A descriptor that becomes readable when the parent process is gone, however it went; a pipe that a fork of the
    parent had inherited would stay open."""
    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        sys.exit(f"Process {parent} is gone already.")
    if os.getppid() != parent:  # asked after opening: so the number can't have come to mean another process
        sys.exit(f"Process {parent} is not the parent of this one, or is gone already.")
    return fd


def _go_to_background() -> None:
    """Let the caller go on: it waits for the first process, which ends here with the board ready behind its path."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def _end(signum: int, frame: object) -> NoReturn:
    sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m labkit_plugins.serial.board", description=__doc__.split("\n")[0])
    parser.add_argument("--path", type=Path, required=True, help="where the tty is to appear")
    parser.add_argument("--control", type=Path, help="Unix socket for reset, unplug, plug, hang, resume, led?")
    parser.add_argument("--record", type=Path, help="file for a JSON line of all that happens at the board's end")
    parser.add_argument("--parent", type=int, help="process id of the parent; the board ends when that is gone")
    parser.add_argument(
        "--background", action="store_true", help="return when the board is ready, and leave it running"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    board = Board(arguments.path, control=arguments.control, record=arguments.record, parent=arguments.parent)
    try:
        board.open()
        if arguments.background:
            _go_to_background()
        else:
            sys.stdout.write(f"board ready at {arguments.path}\n")
            sys.stdout.flush()
        board.run()
    except OSError as error:
        sys.exit(f"The board could not go on: {error}")
    finally:
        board.end()


if __name__ == "__main__":
    main()
