"""Suspended: the commands of a device that gave the thread back, and go on in turns. Used by `device_runner`.

Only the device's own thread adds, takes and ends them; each is answered once, whatever becomes of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from labkit.loop.answers import cut_short
from labkit.loop.command import Command
from labkit.store.calls import Call, Reply


class Suspended:
    """close: ends the command's generator, as an operation of the device. reply: sends an answer."""

    def __init__(self, close: Callable[[Command], None], reply: Callable[[Call, Reply], None]):
        self._close = close
        self._reply = reply
        self._commands: deque[Command] = deque()

    def __bool__(self) -> bool:
        return bool(self._commands)

    def add(self, command: Command) -> None:
        self._commands.append(command)

    def next(self) -> Command:
        """Take the one whose turn it is."""
        return self._commands.popleft()

    def end(self, why: str, *, below: int | None = None) -> None:
        """End commands: those under an earlier fence than `below`, or all."""
        if not self._commands:
            return
        ending = [command for command in self._commands if below is None or command.call.fence < below]
        self._commands = deque(command for command in self._commands if command not in ending)
        for command in ending:
            self.cut(command, why)

    def cut(self, command: Command, why: str) -> None:
        """End one command in the middle, and say so to its caller."""
        self._close(command)
        self._reply(command.call, cut_short(command.call, why))
