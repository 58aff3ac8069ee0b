"""The base of a twin's program: a process that plays a piece of hardware and can be asked, watched and made to fail.

Used by the simulated board, chip and camera. Stdlib only. A program sleeps in one `poll` and never wakes for nothing;
it ends with the process that started it, however that ends.

    class Chip(TwinProgram):
        kind = "gpio"

        def __init__(self, place: Place):
            super().__init__(place)
            self.requests |= {"lines": lambda client, words: {"lines": ...}}

    def main() -> None:
        arguments = parser("labkit_plugins.gpio.chip", __doc__).parse_args()
        run(Chip(Place.of(arguments)), arguments)

A request is a line of words (quoted as in a shell), its answer a JSON object: what its function
returned, and `status()`.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import select
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.control import CONTROL
from labkit_plugins.twins.door import Door, Watched
from labkit_plugins.twins.neighbours import Neighbours

FAULTS = ("unplug", "hang", "garbage", "slow")

Request = Callable[[Channel, list[str]], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a program stands: the folder of its device, or (by hand, in tests) only a control channel, or nothing."""

    folder: Path | None = None
    control: Path | None = None
    parent: int | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        folder: Path | None = arguments.folder
        control = arguments.control or (folder / CONTROL if folder is not None else None)
        return cls(folder=folder, control=control, parent=arguments.parent)


class TwinProgram:
    """A running program: its control channel, its faults, its neighbours on the bench."""

    kind = ""

    def __init__(self, place: Place):
        self.place = place
        self.faults: set[str] = set()
        self.requests: dict[str, Request] = {
            "hello": lambda client, words: None,
            "watch": lambda client, words: None,
            "wire": lambda client, words: self.neighbours.meet(Path(words[0])),
            "end": lambda client, words: self.stop(),
        }
        self.requests |= {fault: self._fault_request(fault) for fault in (*FAULTS, "plug", "normal")}
        self.neighbours = Neighbours(place.folder, self.met, self.heard)
        self._parent_fd = None if place.parent is None else _watch(place.parent)
        self._door = None if place.control is None else Door[Channel](place.control, self._let_in, self._forget)
        self._watchers: set[Channel] = set()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ended = False

    # -- what a program says for itself

    def begin(self) -> None:
        """Come to life: called once, before anybody can ask."""

    def finish(self) -> None:
        """Take away what `begin` put there; called last, also where `begin` failed."""

    def status(self) -> Mapping[str, Any]:
        """What each answer has besides the request's own."""
        return {}

    def as_it_is(self) -> Iterable[Mapping[str, Any]]:
        """The packets that a client gets first when it begins to watch."""
        return ()

    def faulted(self, fault: str) -> None:
        """Hear that somebody injected this; `faults` has what holds now (unplug, hang, garbage, slow)."""

    def watched(self) -> Iterator[Watched]:
        """Descriptors of its own that the loop waits for; asked anew in each turn."""
        return iter(())

    def met(self, neighbour: Channel, kind: str) -> bool:
        """Hear of another program of the bench, by its kind; True keeps the connection, whose packets are `heard`."""
        return False

    def heard(self, neighbour: Channel, packet: Mapping[str, Any]) -> None:
        """Hear what a neighbour that was kept has answered or pushed."""

    # -- what it can use

    @property
    def plugged(self) -> bool:
        return "unplug" not in self.faults

    def push(self, packet: Mapping[str, Any]) -> None:
        """Send a packet to all that watch."""
        for client in tuple(self._watchers):
            client.send(packet)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` once from the loop, after so many seconds."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), act))

    def stop(self) -> None:
        """End after this turn of the loop."""
        self._ended = True

    # -- its life

    def open(self) -> None:
        """Come to life, listen on the control channel, and look for the neighbours."""
        self.begin()
        if self._door is not None:
            self._door.open()
        self.neighbours.look()

    def loop(self) -> None:
        """Work until the parent process is gone or somebody says `end`."""
        while not self._ended:
            poll, acts = select.poll(), {}
            for fd, events, act in self._all_watched():
                poll.register(fd, events)
                acts[fd] = act
            for fd, events in poll.poll(self._patience()):
                acts[fd](events)
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()

    def close(self) -> None:
        """Take everything away; who waits on the control channel for our end sees it last."""
        self.finish()
        if self._door is not None:
            self._door.close()
        self.neighbours.close()
        if self._door is not None:
            self._door.hang_up()

    def _all_watched(self) -> Iterator[Watched]:
        if self._parent_fd is not None:
            yield self._parent_fd, select.POLLIN, lambda events: self.stop()
        clients: tuple[Channel, ...] = ()
        if self._door is not None:
            yield from self._door.watched()
            clients = self._door.clients
        for channel in (*clients, *self.neighbours.channels):
            yield channel.fd, channel.wanted, channel.serve
        yield from self.watched()

    def _patience(self) -> float | None:
        """Milliseconds until something is due, rounded up: waking early would be spinning."""
        return None if not self._due else max(0.0, self._due[0][0] - time.monotonic()) * 1000 + 1

    def _let_in(self, connected: socket.socket, gone: Callable[[Channel], None]) -> Channel:
        return Channel(connected, self._answer, gone)

    def _forget(self, client: Channel) -> None:
        self._watchers.discard(client)

    def _answer(self, client: Channel, request: str) -> None:
        client.send(self._do(client, request))
        if request == "watch" and not client.closed:
            for packet in self.as_it_is():
                client.send(packet)
            self._watchers.add(client)

    def _do(self, client: Channel, request: str) -> Mapping[str, Any]:
        try:
            name, *words = shlex.split(request) or [""]
            if name not in self.requests:
                return {"error": f"unknown request {name!r}; there are: {', '.join(self.requests)}"}
            answer = self.requests[name](client, words) or {}
        except (IndexError, KeyError, ValueError) as error:
            return {"error": f"{request!r}: {error}"}
        faults = sorted(self.faults)
        about = {"kind": self.kind, "pid": os.getpid(), "parent": self.place.parent, "faults": faults}
        return {**about, **self.status(), **answer}

    def _fault_request(self, fault: str) -> Request:
        def inject(client: Channel, words: list[str]) -> None:
            if fault == "normal":
                self.faults.clear()
            elif fault == "plug":
                self.faults.discard("unplug")
            else:
                self.faults.add(fault)
            self.faulted(fault)

        return inject


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what every program takes; the program adds its own."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=(description or "").split("\n")[0])
    made.add_argument("--folder", type=Path, help="folder of the device: its control channel, its bench beside it")
    made.add_argument("--control", type=Path, help="where the control channel is to be; in the folder by itself")
    made.add_argument("--parent", type=int, help="process id of the parent; the program ends when that is gone")
    made.add_argument("--background", action="store_true", help="return when it is ready, and leave it running")
    return made


def run(program: TwinProgram, arguments: argparse.Namespace, ready: str = "ready") -> None:
    """Run a program to its end; SIGTERM, SIGINT and SIGHUP end it too."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        program.open()
        if arguments.background:
            _go_to_background()
        else:
            sys.stdout.write(f"{ready}\n")
            sys.stdout.flush()
        program.loop()
    except OSError as error:
        sys.exit(f"The simulated {program.kind} could not go on: {error}")
    finally:
        program.close()


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
    """Let the caller go on: it waits for the first process, which ends here with the device ready."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def _end(signum: int, frame: object) -> NoReturn:
    sys.exit(0)
