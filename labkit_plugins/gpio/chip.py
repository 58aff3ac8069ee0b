"""The simulated chip: a program with the lines of one declaration, the hub that the twins of a bench are wired to.

    python -m labkit_plugins.gpio.chip --folder FOLDER --lines '{"led": {"line": 17, "direction": "out", ...}}'

Started by the simulated GPIO device. The driver uses the node `FOLDER/chip` as it would use /dev/gpiochip0. Everybody
else uses the control channel: `lines` tells what there is; `drive NAME 0|1` and `release NAME` are the far end of a
wire (a button, a board, or a short where the line is an output); `watch` tells each change; `claim NAME CONSUMER` has
a line in use elsewhere, `unclaim NAME` frees it. Levels are voltages there; `value` is what people mean, 1 is on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labkit_plugins.gpio.node import NODE, Node
from labkit_plugins.gpio.pins import Pin, Pins
from labkit_plugins.twins.door import Watched
from labkit_plugins.twins.program import Place, TwinProgram, parser, run


class Chip(TwinProgram):
    """The running chip: its pins, and the node that the host uses."""

    kind = "gpio"

    def __init__(self, place: Place, lines: Mapping[str, Mapping[str, Any]]):
        super().__init__(place)
        if place.folder is None:
            raise ValueError("a chip needs a folder")
        self._pins = Pins(time.monotonic_ns, self.later, changed=self._tell_change, edge=self._tell_edge)
        self._pins.request("", lines)
        self._node = Node(place.folder / NODE, self._pins, self.faults, self.later)
        self.requests |= {
            "lines": lambda client, words: {"lines": {pin.name: pin.shown() for pin in self._pins}},
            "drive": lambda client, words: self._pins.drive(words[0], int(words[1])),
            "release": lambda client, words: self._pins.drive(words[0], None),
            "claim": lambda client, words: self._pins.claim(words[0], words[1]),
            "unclaim": lambda client, words: self._pins.claim(words[0], ""),
        }

    def begin(self) -> None:
        self._node.plug()

    def finish(self) -> None:
        self._node.unplug()

    def status(self) -> Mapping[str, Any]:
        return {"plugged": self.plugged}

    def as_it_is(self) -> Iterable[Mapping[str, Any]]:
        return [_packet(pin) for pin in self._pins]

    def faulted(self, fault: str) -> None:
        if self.plugged:
            self._node.plug()
        else:
            self._node.unplug()
            self._pins.lose_power()
        self._node.faulted()

    def watched(self) -> Iterator[Watched]:
        return self._node.watched()

    def _tell_change(self, pin: Pin) -> None:
        self.push(_packet(pin))

    def _tell_edge(self, pin: Pin, level: int, at: int) -> None:
        self._node.tell_edge(pin, level, at)


def _packet(pin: Pin) -> Mapping[str, Any]:
    """What who watches is told of a line."""
    return {"line": pin.name, "at": time.time(), **{key: pin.shown()[key] for key in ("level", "value", "direction")}}


def main() -> None:
    options = parser("labkit_plugins.gpio.chip", __doc__)
    options.add_argument("--lines", type=json.loads, default={}, help="the declared lines by name, as JSON")
    arguments = options.parse_args()
    if arguments.folder is None:
        options.error("say --folder")
    run(Chip(Place.of(arguments), arguments.lines), arguments, f"chip ready in {arguments.folder}")


if __name__ == "__main__":
    main()
