"""The wires between a simulated board and the simulated GPIO chips of its bench. Used by the board program.

They go by name: the board's leds 1 to 4 drive the chip's inputs led1 to led4, and the chip's output `button` is the
board's button. What the chip does not have is not wired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit_plugins.twins.channel import Channel

BUTTON = "button"


class Wires:
    """All wires of one board. leds: which are lit now; None while it has no power. pressed: hears the button."""

    def __init__(self, leds: Callable[[], Mapping[int, bool] | None], pressed: Callable[[bool], None]):
        self._leds = leds
        self._pressed = pressed
        self._down = False
        self._chips: dict[Channel, _Chip] = {}

    def connect(self, channel: Channel) -> None:
        """There is a chip: it tells its lines as they are, and then each change."""
        self._chips = {known: chip for known, chip in self._chips.items() if not known.closed}
        self._chips[channel] = _Chip()
        channel.send("watch")

    def hear(self, channel: Channel, packet: Mapping[str, Any]) -> None:
        """Take an answer of a chip or its news; what it refuses, it does not have."""
        if "line" not in packet:
            return
        name, chip = packet["line"], self._chips[channel]
        if packet["direction"] == "in":
            chip.inputs.add(name)
        else:
            chip.inputs.discard(name)
            if name == BUTTON and bool(packet["value"]) != self._down:
                self._down = not self._down
                self._pressed(self._down)
        self.show()

    def show(self) -> None:
        """Put the leds on the wires, where they have changed."""
        leds = self._leds()
        levels = {} if leds is None else {f"led{number}": int(lit) for number, lit in leds.items()}
        for channel, chip in self._chips.items():
            inputs = {name: level for name, level in levels.items() if name in chip.inputs}
            for name, level in inputs.items():
                if chip.driven.get(name) != level:
                    channel.send(f"drive {name} {level}")
            for name in chip.driven.keys() - inputs.keys():
                channel.send(f"release {name}")
            chip.driven = inputs


class _Chip:
    """What a board knows of a chip: its inputs, and what it drives there."""

    def __init__(self) -> None:
        self.inputs: set[str] = set()
        self.driven: dict[str, int] = {}
