"""The simulated board: a program that behaves like a small microcontroller on a real tty.

    python -m labkit_plugins.serial.board --path /tmp/board [--control SOCKET] [--record FILE]

Started by the simulated serial port, by tests, or by hand (then open the path with any terminal program). It sleeps in
one `poll` and never wakes for nothing. When the last program closes the tty, the board goes on with a new pty behind
the same path; like a real board it keeps its state and says nothing until it is asked.

A pty that was never opened shows no hang-up; one that was closed shows it for ever, and is replaced at once. So the
loop neither has to look again and again whether somebody came, nor can it spin on a hang-up.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit_plugins.serial.farend import FarEnd
from labkit_plugins.serial.firmware import Firmware
from labkit_plugins.serial.wires import Wires
from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.door import Watched
from labkit_plugins.twins.program import Place, TwinProgram, parser, run

TTY = "tty"
"""Name of the tty in a device's folder."""

_SLOW_BYTE = 0.1  # seconds for each byte of a slow board
_NOISE_BYTES = 5
_NOISE_PAUSE = 1.0
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


class Board(TwinProgram):
    """The running board: its firmware and its far end of the tty."""

    kind = "serial"

    def __init__(self, place: Place, path: Path, record: Path | None):
        super().__init__(place)
        self._record = Record(record)
        self._firmware = Firmware(time.monotonic)
        self._far = FarEnd(path)
        self._wires = Wires(lambda: self._firmware.leds if self.plugged else None, self._press)
        self._trickling = self._rustling = False
        self.requests |= {
            "ready": lambda client, words: self._replace_if_hung_up(),
            "reset": lambda client, words: self._reset(),
            "break": lambda client, words: self._record.write("break", seconds=float(words[0])),
            "led?": lambda client, words: None,
        }

    def begin(self) -> None:
        """Put the tty behind its path, with the boot banner waiting in it."""
        self._far.plug()
        self._reset()

    def finish(self) -> None:
        self._far.unplug()

    def status(self) -> Mapping[str, Any]:
        return {"plugged": self.plugged, "hung": self._hung, "leds": self._firmware.leds}

    def faulted(self, fault: str) -> None:
        if not self.plugged and self._far.fd is not None:
            self._far.unplug()
            self._record.write("unplug")
        elif self.plugged and self._far.fd is None:
            self._record.write("plug")
            self._far.plug()
            self._reset()  # it had no power meanwhile
        self._wires.show()
        if "garbage" in self.faults and not self._rustling:
            self._rustle()

    def watched(self) -> Iterator[Watched]:
        if self._far.fd is not None:
            listening = not self._hung and len(self._far.pending) < _OUTPUT_LIMIT
            telling = self._far.pending and not self._trickling
            wanted = (select.POLLIN if listening else 0) | (select.POLLOUT if telling else 0)
            yield self._far.fd, wanted, self._serve  # a hang-up is told even where nothing is wanted

    def met(self, neighbour: Channel, kind: str) -> bool:
        if kind == "gpio":
            self._wires.connect(neighbour)
        return kind == "gpio"

    def heard(self, neighbour: Channel, packet: Mapping[str, Any]) -> None:
        self._wires.hear(neighbour, packet)

    @property
    def _hung(self) -> bool:
        return "hang" in self.faults

    def _serve(self, events: int) -> None:
        if events & select.POLLIN:
            self._take(self._far.read())
        self._send()
        if events & select.POLLHUP:
            self._replace_if_hung_up()

    def _take(self, data: bytes | None) -> None:
        if data:
            self._record.write("received", data=data.decode("latin-1"))
            self._say(self._firmware.feed(data))
            self._wires.show()

    def _replace_if_hung_up(self) -> None:
        """Where the last user of the tty has closed it: take in its last bytes, then offer a new pty."""
        if not self._far.is_hung_up:
            return
        while not self._hung and (data := self._far.read()):
            self._take(data)
        self._record.write("hangup")
        self._far.renew()

    def _reset(self) -> None:
        self._record.write("boot")
        self._say(self._firmware.reset())
        self._send()
        self._wires.show()

    def _press(self, down: bool) -> None:
        if self.plugged and not self._hung:
            self._say(self._firmware.press(down))
            self._send()

    def _say(self, data: bytes) -> None:
        self._far.pending += _scrambled(data) if "garbage" in self.faults else data

    def _send(self) -> None:
        """Send what the board has to say; a slow one does so byte by byte."""
        if "slow" not in self.faults:
            self._far.send()
        elif self._far.pending and not self._trickling:
            self._trickling = True
            self.later(_SLOW_BYTE, self._trickle)

    def _trickle(self) -> None:
        self._trickling = False
        if "slow" in self.faults:
            self._far.send(1)
        self._send()

    def _rustle(self) -> None:
        """Noise on the line now and then, unless what is there already has not been taken."""
        self._rustling = "garbage" in self.faults
        if self._rustling:
            if not self._far.pending:
                self._far.pending += os.urandom(_NOISE_BYTES)
                self._send()
            self.later(_NOISE_PAUSE, self._rustle)


def _scrambled(data: bytes) -> bytes:
    """As many bytes, about half of them wrong."""
    noise = os.urandom(len(data))
    return bytes(byte ^ (wrong if wrong & 1 else 0) for byte, wrong in zip(data, noise, strict=True))


def main() -> None:
    options = parser("labkit_plugins.serial.board", __doc__)
    options.add_argument("--path", type=Path, help="where the tty is to appear, where there is no --folder")
    options.add_argument("--record", type=Path, help="file for a JSON line of all that happens at the board's end")
    arguments = options.parse_args()
    path = arguments.path or (arguments.folder and arguments.folder / TTY)
    if path is None:
        options.error("say --folder or --path")
    board = Board(Place.of(arguments), path, arguments.record)
    run(board, arguments, f"board ready at {path}")


if __name__ == "__main__":
    main()
