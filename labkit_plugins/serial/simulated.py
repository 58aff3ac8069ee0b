"""The twin of a serial port: the real driver, on the real pty of a simulated board.

The board is a process of its own (`board.py`). Like hardware it stays when the port is closed, and has its leds as
they were when it is opened again; it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.plugin import DeviceOfflineError
from labkit_plugins.serial.control import Control, ControlError
from labkit_plugins.serial.driver import SerialPort
from labkit_plugins.serial.interruption import Operation

if TYPE_CHECKING:
    from labkit_plugins.serial.line import SerialLine

_START_TIMEOUT = 15.0
_END_TIMEOUT = 5.0
_PACKAGES = Path(__file__).resolve().parents[2]


class SimulatedSerialPort(SerialPort):
    """A serial port with a simulated board on it; nothing but the place of the tty and its lines is different."""

    @property
    def tty(self) -> Path:
        """Where the board's tty stands; a terminal program could open it too."""
        return self.link.folder / "tty"

    @property
    def control(self) -> Path:
        """The board's control channel: `reset`, `unplug`, `plug`, `hang`, `resume`, `led?`."""
        return self.link.folder / "control"

    def _locate(self) -> str:
        """The board's tty, with a board behind it: our process's own one, or else a new one."""
        if not self._board_is_ours():
            self._start_board()
        with Control(self.control) as board:
            # By this answer a pty that was just closed is replaced: what stands at the path now is fresh.
            plugged = board.ask("ready")["plugged"]
        if not plugged:
            raise DeviceOfflineError(f"The simulated board of '{self.link.name}' is unplugged.", device=self.link.name)
        return str(self.tty)

    def _break(self, line: SerialLine, operation: Operation, seconds: float) -> None:
        super()._break(line, operation, seconds)
        with Control(self.control) as board:  # a pty has no break
            board.ask(f"break {seconds}")

    def _reset_board(self, line: SerialLine, operation: Operation) -> None:
        with Control(self.control) as board:  # a pty has no DTR and RTS
            board.ask("reset")

    def _board_is_ours(self) -> bool:
        """Is there a board that this process started? One that outlives its dead host is waited for."""
        try:
            board = Control(self.control)
        except (FileNotFoundError, ConnectionError):  # no board yet, or what a killed one left behind
            return False
        with board:
            try:
                parent = board.ask("hello")["parent"]
            except ControlError:  # it is ending right now, or it is stopped
                parent = "unknown"
            if parent == os.getpid():
                return True
            if board.wait_for_end(_END_TIMEOUT):
                return False
        raise DeviceOfflineError(
            f"The simulated board of '{self.link.name}' belongs to process {parent}. End that one first.",
            device=self.link.name,
        )

    def _start_board(self) -> None:
        """Start the board and wait until its tty is there."""
        arguments = ["--path", str(self.tty), "--control", str(self.control), "--parent", str(os.getpid())]
        paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
        started = subprocess.run(
            [sys.executable, "-m", "labkit_plugins.serial.board", "--background", *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START_TIMEOUT,
            text=True,
        )
        if started.returncode != 0:
            raise RuntimeError(f"The simulated board of '{self.link.name}' did not start: {started.stderr.strip()}")


SerialPort.simulated = SimulatedSerialPort
