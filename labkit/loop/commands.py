"""Commands: what calls have begun at a device. Each runs whole, or in turns with others where it gives the thread back.

Used by `device_runner`. Only the device's own thread is at them; each is answered once, whatever becomes of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from labkit.loop.answers import cut_short, reply_for
from labkit.loop.command import Command
from labkit.loop.device_state import DeviceState
from labkit.loop.operation import Occupation, Operation
from labkit.store.calls import Call, Reply


class Commands:
    """True while some that gave the thread back wait for their turn. reply: sends an answer.

    close_seconds: how long the end of a command may take that is cut in the middle.
    """

    def __init__(
        self,
        state: DeviceState,
        occupation: Occupation,
        reply: Callable[[Call, Reply], None],
        *,
        close_seconds: float,
    ):
        self._state = state
        self._occupation = occupation
        self._reply = reply
        self._close_seconds = close_seconds
        self._suspended: deque[Command] = deque()

    def __bool__(self) -> bool:
        return bool(self._suspended)

    def advance(self, command: Command, operation: Operation) -> BaseException | None:
        """Run a command, or one step of it; after the last one its answer goes out. Returns what it raised."""
        answer, failure = None, None
        try:
            answer = command.advance(self._state.device)
        except BaseException as error:  # a driver's library may even call exit
            answer, failure = reply_for(error, command.call, operation), error
        finally:
            self._occupation.end(operation)
        if operation.stuck:  # it was answered when it was left alone
            self._close(command)
            return None
        if answer is None:
            self._suspended.append(command)
        else:
            self._reply(command.call, answer)
        return failure

    def next(self) -> Command:
        """Take the one whose turn it is."""
        return self._suspended.popleft()

    def end(self, why: str, *, below: int | None = None) -> None:
        """End those that are suspended: under an earlier fence than `below`, or all."""
        if not self._suspended:
            return
        ending = [command for command in self._suspended if below is None or command.call.fence < below]
        self._suspended = deque(command for command in self._suspended if command not in ending)
        for command in ending:
            self.cut(command, why)

    def cut(self, command: Command, why: str) -> None:
        """End one command in the middle, and say so to its caller."""
        self._close(command)
        self._reply(command.call, cut_short(command.call, why))

    def _close(self, command: Command) -> None:
        with self._occupation.during(f"the end of {command.call.command}", command.call.fence, self._close_seconds):
            command.close()
