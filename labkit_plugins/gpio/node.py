"""The host's side of a simulated chip: the socket that stands for /dev/gpiochip0. Used by the chip's program.

A connection is what a request of lines is at the kernel: it has its lines until it is closed. Packets are JSON objects
both ways: `{"request": consumer, "lines": {...}}`, then `{"tag": n, "set": {name: 0|1}}` and `{"tag": n}`, each
answered with `{"tag": n, "levels": {...}}`; levels are voltages. What makes no sense is answered with `{"error"}`.
A second connection that says `{"follow": consumer}` gets the edges: `{"line", "level", "at", "seqno"}`, `at` in
nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
import random
import select
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit_plugins.gpio.pins import Pin, Pins
from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.door import Door, Watched

NODE = "chip"
"""Name of the node in a device's folder."""

SLOW = 0.5
"""Seconds that everything takes under the fault `slow`."""

_WIRING = {
    "line": int, "direction": str, "pull": str, "drive": str, "active_low": bool, "debounce": int, "edges": str,
    "initial": int,
}  # fmt: skip

_NOISE = 0.05  # seconds between two edges of the fault `garbage`


class Node:
    """The node at `path` while the chip is plugged. faults: those of the program, as they are at each moment."""

    def __init__(
        self,
        path: Path,
        pins: Pins,
        faults: Collection[str],
        later: Callable[[float, Callable[[], None]], None],
    ):
        self._door = Door[Channel](path, lambda new, gone: Channel(new, self._received, gone), self._forget)
        self._pins = pins
        self._faults = faults
        self._later = later
        self._requests: dict[Channel, str] = {}
        self._followers: set[Channel] = set()
        self._held_back: list[dict[str, Any]] = []
        self._noisy = False

    def plug(self) -> None:
        """Put the node there; twice is fine."""
        self._door.open()

    def unplug(self) -> None:
        """Take the node away and hang up on everybody; twice is fine."""
        self._door.close()
        self._door.hang_up()
        self._held_back.clear()

    def faulted(self) -> None:
        """Hear that the faults are others now."""
        if "hang" not in self._faults:
            told, self._held_back = self._held_back, []
            for packet in told:
                self._tell(packet)
        if "garbage" in self._faults and not self._noisy:
            self._noisy = True
            self._make_noise()

    def watched(self) -> Iterator[Watched]:
        """A chip that hangs takes nothing in; who hangs up is let go all the same."""
        hung = "hang" in self._faults
        yield from self._door.watched()
        for client in self._door.clients:
            yield client.fd, 0 if hung else client.wanted, client.serve

    def tell_edge(self, pin: Pin, level: int, at: int) -> None:
        """Tell an edge to who follows; a chip that hangs keeps it until it goes on."""
        packet = {"line": pin.name, "level": level, "at": at, "seqno": pin.seqno}
        if "hang" in self._faults:
            self._held_back.append(packet)
        else:
            self._tell(packet)

    def _tell(self, packet: Mapping[str, Any]) -> None:
        self._in_its_time(lambda: self._send_all(packet))

    def _send_all(self, packet: Mapping[str, Any]) -> None:
        for follower in tuple(self._followers):
            follower.send(packet)

    def _forget(self, client: Channel) -> None:
        self._followers.discard(client)
        consumer = self._requests.pop(client, None)
        if consumer is not None:
            self._pins.give_back(consumer)

    def _received(self, client: Channel, text: str) -> None:
        try:
            packet = json.loads(text)
        except (ValueError, RecursionError):
            packet = None
        if not isinstance(packet, dict):
            client.send({"error": "not a JSON object"})
            return
        self._in_its_time(lambda: self._serve(client, packet))

    def _serve(self, client: Channel, packet: dict[str, Any]) -> None:
        if client.closed:
            return
        try:
            answer = self._answer(client, packet)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # a chip outlives what is said to it
            answer = {"tag": packet.get("tag"), "error": f"{type(error).__name__}: {error}"}
        client.send(answer)

    def _answer(self, client: Channel, packet: dict[str, Any]) -> Mapping[str, Any]:
        if "follow" in packet:
            self._followers.add(client)
            return {"following": packet["follow"]}
        if "request" in packet:
            return self._request(client, packet["request"], _checked(packet["lines"]))
        if client not in self._requests:
            return {"tag": packet.get("tag"), "error": "request lines first"}
        if "set" in packet:
            self._pins.set(packet["set"])
        return {"tag": packet.get("tag"), "levels": self._levels()}

    def _request(self, client: Channel, consumer: str, lines: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        for holder in tuple(self._requests):
            _serve_all(holder)  # who has just hung up may not have been noticed yet
        busy = self._pins.request(consumer, lines)
        if busy:
            return {"busy": {pin.name: pin.holder for pin in busy}}
        self._requests[client] = consumer
        return {"levels": self._levels()}

    def _levels(self) -> dict[str, int]:
        noise = "garbage" in self._faults
        return {pin.name: random.getrandbits(1) if noise else pin.steady for pin in self._pins}

    def _make_noise(self) -> None:
        if "garbage" not in self._faults:
            self._noisy = False
            return
        inputs = [pin for pin in self._pins if not pin.is_output and pin.holder]
        if inputs and "hang" not in self._faults:
            self._pins.make_noise(random.choice(inputs), random.getrandbits(1))
        self._later(_NOISE, self._make_noise)

    def _in_its_time(self, act: Callable[[], None]) -> None:
        if "slow" in self._faults:
            self._later(SLOW, act)
        else:
            act()


def _checked(lines: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Lines whose wiring is whole, so that nothing fails later. Errors: ValueError."""
    for name, wiring in lines.items():
        wrong = [key for key, kind in _WIRING.items() if not isinstance(wiring.get(key), kind)]
        if wrong:
            raise ValueError(f"line {name!r} needs {', '.join(wrong)}")
    return lines


def _serve_all(client: Channel) -> None:
    """Take all that a client has sent, its end too."""
    poll = select.poll()
    poll.register(client.fd, select.POLLIN)
    while not client.closed and poll.poll(0):
        client.serve(select.POLLIN)
