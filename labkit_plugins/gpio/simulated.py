"""The twin of a GPIO device: the real driver, on the lines of a simulated chip.

The chip is a process of its own (`chip.py`). Like hardware it stays when the lines are given back, and ends with the
process that started it. What has another end (a button, a board) drives its wires by its control channel.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labkit.plugin import DeviceOfflineError
from labkit_plugins.gpio.driver import Gpio
from labkit_plugins.gpio.lines import Edge, Lines, utc_of
from labkit_plugins.gpio.node import NODE
from labkit_plugins.gpio.options import GpioOptions
from labkit_plugins.interruption import Operation
from labkit_plugins.twins.control import PACKET, short_address
from labkit_plugins.twins.programtwin import ProgramTwin

_OPEN_TIMEOUT = 5.0
_CONNECT_TIMEOUT = 2.0
_LAST_WORD_TIMEOUT = 1.0  # for what has to be done although its operation was ended


class SimulatedGpio(ProgramTwin, Gpio):
    """Lines of a simulated chip; nothing but where they come from is different."""

    program = "labkit_plugins.gpio.chip"

    def program_arguments(self) -> list[str]:
        return ["--lines", json.dumps(_wiring(self.options))]

    def _request_lines(self) -> Lines:
        self.ensure_program()
        try:
            return SimulatedLines(self.link.folder / NODE, self.options, self.link.name)
        except (BlockingIOError, TimeoutError) as error:
            raise DeviceOfflineError(
                f"The simulated chip of '{self.link.name}' takes no connections: it is stopped or very busy. "
                "It is tried again by itself.",
                device=self.link.name,
            ) from error
        except (FileNotFoundError, ConnectionError) as error:
            if isinstance(error, DeviceOfflineError):
                raise
            raise DeviceOfflineError(
                f"The simulated chip of '{self.link.name}' is unplugged.", device=self.link.name
            ) from error


class SimulatedLines:
    """Lines that are open at a simulated chip; see `lines.Lines`. `node.py` has the packets."""

    patience: float | None = None

    def __init__(self, path: Path, options: GpioOptions, device: str):
        self.chip = options.chip or "simulated"
        self._device = device
        self._turned = {name for name, line in options.lines.items() if line.active_low}
        self._tag = 0
        consumer = f"labkit {device}"
        self._line = _connected(path)
        try:
            self._follow = _connected(path)
        except BaseException:
            self._line.close()
            raise
        try:
            self._open(consumer, options)
        except BaseException:
            self._hang_up()
            raise

    def fileno(self) -> int:
        return self._follow.fileno()

    def edges(self) -> Sequence[Edge]:
        edges: list[Edge] = []
        with suppress(BlockingIOError):
            while (data := self._follow.recv(PACKET, socket.MSG_DONTWAIT)) or not edges:
                packet = _packet(data)
                level = self._meant(packet["line"], packet["level"])
                edges.append(Edge(line=packet["line"], level=level, at=utc_of(packet["at"]), seqno=packet["seqno"]))
        return edges

    def read(self, operation: Operation | None) -> dict[str, int]:
        return self._ask({}, operation)

    def write(self, levels: Mapping[str, int], operation: Operation | None) -> None:
        self._ask({"set": self._voltages(levels)}, operation)

    def close(self, levels: Mapping[str, int]) -> None:
        with suppress(OSError):
            packet = {"tag": None, "set": self._voltages(levels)}
            self._line.send(json.dumps(packet).encode(), socket.MSG_DONTWAIT)
        for connection in (self._line, self._follow):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # a child that was forked just now has them open still
        self._hang_up()

    def let_go(self) -> None:
        self._hang_up()

    def _open(self, consumer: str, options: GpioOptions) -> None:
        _send(self._line, {"request": consumer, "lines": _wiring(options)})
        answer = self._answer(self._line, None, _OPEN_TIMEOUT)
        if "busy" in answer:
            claimed = ", ".join(f"'{name}' by {holder!r}" for name, holder in answer["busy"].items())
            raise DeviceOfflineError(
                f"Lines of '{self._device}' are claimed elsewhere: {claimed}. It is tried again by itself.",
                device=self._device,
            )
        self._refuse_error(answer)
        _send(self._follow, {"follow": consumer})
        self._answer(self._follow, None, _OPEN_TIMEOUT)

    def _ask(self, packet: Mapping[str, Any], operation: Operation | None) -> dict[str, int]:
        """Ask and return all levels. An answer to an earlier question, whose wait was ended, is passed over."""
        self._tag += 1
        _send(self._line, {"tag": self._tag, **packet})
        while (answer := self._answer(self._line, operation, _LAST_WORD_TIMEOUT)).get("tag") != self._tag:
            continue
        self._refuse_error(answer)
        return {name: self._meant(name, level) for name, level in answer["levels"].items()}

    def _refuse_error(self, answer: Mapping[str, Any]) -> None:
        if "error" in answer:
            raise ValueError(f"The simulated chip of '{self._device}' refused: {answer['error']}")

    def _answer(self, connection: socket.socket, operation: Operation | None, seconds: float) -> dict[str, Any]:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if operation is not None:
            poll.register(operation.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if operation is not None else seconds * 1000)}
        if operation is not None:
            operation.check(" while it waited for its chip")
        if connection.fileno() not in ready:
            raise DeviceOfflineError(
                f"The simulated chip of '{self._device}' did not answer within {seconds:g} s.",
                device=self._device,
            )
        return _packet(connection.recv(PACKET))

    def _meant(self, name: str, voltage: int) -> int:
        return voltage ^ (name in self._turned)

    def _voltages(self, levels: Mapping[str, int]) -> dict[str, int]:
        return {name: self._meant(name, level) for name, level in levels.items()}

    def _hang_up(self) -> None:
        self._line.close()
        self._follow.close()


def _wiring(options: GpioOptions) -> dict[str, dict[str, Any]]:
    """What a chip has to know of the lines, levels as voltages."""
    initial = options.initial_levels
    return {
        name: {**line.model_dump(), "initial": initial.get(name, 0) ^ line.active_low}
        for name, line in options.lines.items()
    }


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(_CONNECT_TIMEOUT)  # a chip that is stopped takes no more than wait already
    try:
        with short_address(path) as address:
            connection.connect(address)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def _send(connection: socket.socket, packet: Mapping[str, Any]) -> None:
    connection.send(json.dumps(packet).encode())


def _packet(data: bytes) -> dict[str, Any]:
    """One packet of the chip. Errors: ConnectionError where it has hung up."""
    if not data:
        raise ConnectionResetError("it hung up")
    packet: dict[str, Any] = json.loads(data)
    return packet


Gpio.simulated = SimulatedGpio
