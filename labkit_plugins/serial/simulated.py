"""The twin of a serial port: the real driver, on the real pty of a simulated board.

The board is a process of its own (`board.py`). Like hardware it stays when the port is closed, and has its leds as
they were when it is opened again; it ends with the process that started it, however that ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.plugin import DeviceOfflineError
from labkit_plugins.interruption import Operation
from labkit_plugins.serial.driver import SerialPort
from labkit_plugins.twins.programtwin import ProgramTwin

if TYPE_CHECKING:
    from labkit_plugins.serial.line import SerialLine


class SimulatedSerialPort(ProgramTwin, SerialPort):
    """A serial port with a simulated board on it; nothing but the place of the tty and its lines is different."""

    program = "labkit_plugins.serial.board"

    @property
    def tty(self) -> Path:
        """Where the board's tty stands; a terminal program could open it too."""
        return Path(self.link.folder) / "tty"

    def _locate(self) -> str:
        """The board's tty, with a board behind it: our process's own one, or else a new one."""
        self.ensure_program()
        # By this answer a pty that was just closed is replaced: what stands at the path now is fresh.
        if not self.ask("ready")["plugged"]:
            raise DeviceOfflineError(
                f"The simulated board of '{self.link.name}' is unplugged. Plug it in: labkit sim plug {self.link.name}",
                device=self.link.name,
            )
        return str(self.tty)

    def _break(self, line: SerialLine, operation: Operation, seconds: float) -> None:
        super()._break(line, operation, seconds)
        self.ask(f"break {seconds}")  # a pty has no break

    def _reset_board(self, line: SerialLine, operation: Operation) -> None:
        self.ask("reset")  # a pty has no DTR and RTS


SerialPort.simulated = SimulatedSerialPort
