"""The pins of a simulated chip: what decides the level of a wire, and what is an edge. Used by the chip's program.

Pure but for a clock and a timer that it is given; it knows nothing of sockets or processes. Levels here are voltages: 1
is high, whatever `active_low` says. What is declared `active_low` is turned round by the driver, as by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Pin:
    """One pin. host: what the driver drives it to; wire: what the far end drives it to; None where they let go.

    A wire is stronger than the host: so a short, by `drive` of an output, shows in what the output reads back.
    """

    name: str
    wiring: Mapping[str, Any]
    """What is declared of it: line, direction, pull, drive, active_low, debounce, edges."""
    holder: str = ""
    """The consumer that has requested it; '' where it is free."""
    host: int | None = None
    wire: int | None = None
    level: int = 0
    steady: int = 0
    """The level after `debounce`: what the host reads."""
    seqno: int = 0
    changes: int = field(default=0, repr=False)

    @property
    def is_output(self) -> bool:
        return bool(self.wiring["direction"] == "out")

    @property
    def drives(self) -> bool:
        """Whether the host holds the pin: an open drain does so only when it is low."""
        drive = self.wiring["drive"]
        return self.host is not None and (drive == "push-pull" or self.host == (drive == "open-source"))

    @property
    def by(self) -> str:
        """Who decides the level: wire, host or pull."""
        return "wire" if self.wire is not None else "host" if self.drives else "pull"

    def decide(self) -> int:
        pulled = int(self.wiring["pull"] == "up")
        return {"wire": self.wire, "host": self.host, "pull": pulled}[self.by] or 0

    def shown(self) -> dict[str, Any]:
        """What the far end may know. value: the level as people mean it, 1 is on."""
        value = self.level ^ bool(self.wiring["active_low"])
        about = {key: self.wiring[key] for key in ("line", "direction", "active_low")}
        return {"level": self.level, "value": int(value), "by": self.by, "consumer": self.holder, **about}


class Pins:
    """All pins of a chip, by the names of the declaration.

    clock: nanoseconds of CLOCK_MONOTONIC. later(seconds, act): do something then. changed(pin): a wire has another
    level. edge(pin, level, at): the host is to hear of a change of an input.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        later: Callable[[float, Callable[[], None]], None],
        *,
        changed: Callable[[Pin], None],
        edge: Callable[[Pin, int, int], None],
    ):
        self._pins: dict[str, Pin] = {}
        self._clock = clock
        self._later = later
        self._changed = changed
        self._edge = edge

    def __iter__(self) -> Iterator[Pin]:
        return iter(self._pins.values())

    def __getitem__(self, name: str) -> Pin:
        """Errors: ValueError that names the lines there are."""
        if name not in self._pins:
            raise ValueError(f"there is no line {name!r}; there are: {', '.join(self._pins) or 'none'}")
        return self._pins[name]

    def request(self, consumer: str, declared: Mapping[str, Mapping[str, Any]]) -> list[Pin]:
        """Give lines out; what is not declared any more is gone. Returns those that others have: nothing is done then.

        initial, in what is declared of an output: the level that it is driven to from this moment on.
        consumer: '' declares lines that nobody has yet.
        """
        busy = [pin for name in declared if (pin := self._pins.get(name)) is not None and pin.holder]
        if busy:
            return busy
        self._pins = {name: self._renewed(name, consumer, wiring) for name, wiring in declared.items()}
        for pin in self._pins.values():
            self._settle(pin, silent=True)
            self._changed(pin)  # who watches hears of lines that are new
        return []

    def give_back(self, consumer: str) -> None:
        """Free the lines of a consumer; outputs stay as they are, as on most chips."""
        for pin in self._pins.values():
            if pin.holder == consumer:
                pin.holder = ""

    def claim(self, name: str, consumer: str) -> None:
        """Have one line taken by somebody else, '' for nobody."""
        self[name].holder = consumer

    def set(self, levels: Mapping[str, int]) -> None:
        """The host drives outputs, all in one moment."""
        pins = [self[name] for name in levels]
        inputs = [pin.name for pin in pins if not pin.is_output]
        if inputs:
            raise ValueError(f"{', '.join(inputs)} can't be set: inputs")
        if any(level not in (0, 1) for level in levels.values()):
            raise ValueError("a level is 0 or 1")
        for pin in pins:
            pin.host = levels[pin.name]
        for pin in pins:
            self._settle(pin)

    def drive(self, name: str, level: int | None) -> None:
        """The far end drives a wire; None: it lets go."""
        if level not in (0, 1, None):
            raise ValueError("a level is 0 or 1")
        pin = self[name]
        pin.wire = level
        self._settle(pin)

    def lose_power(self) -> None:
        """The chip is unplugged: nobody has its lines, and it drives nothing."""
        for pin in self._pins.values():
            pin.holder, pin.host = "", None
            self._settle(pin, silent=True)
            self._changed(pin)

    def make_noise(self, pin: Pin, level: int) -> None:
        """Tell the host of an edge that never was."""
        self._tell_edge(pin, level, self._clock())

    def _renewed(self, name: str, consumer: str, wiring: Mapping[str, Any]) -> Pin:
        before = self._pins.get(name)
        wire = None if before is None else before.wire
        level = 0 if before is None else before.level
        host = wiring["initial"] if consumer and wiring["direction"] == "out" else None
        return Pin(name=name, wiring=wiring, holder=consumer, host=host, wire=wire, level=level)

    def _settle(self, pin: Pin, *, silent: bool = False) -> None:
        """Bring a wire to what now decides it. silent: that is no edge for the host."""
        level, before = pin.decide(), pin.level
        pin.level = level
        if silent or pin.is_output:
            pin.steady = level
        if level == before or silent:
            return
        pin.changes += 1
        self._changed(pin)
        if pin.is_output:
            return
        at, number = self._clock(), pin.changes
        if pin.wiring["debounce"]:
            self._later(pin.wiring["debounce"] / 1000, lambda: self._steady(pin, number, self._clock()))
        else:
            self._steady(pin, number, at)

    def _steady(self, pin: Pin, number: int, at: int) -> None:
        """An input has kept its level for the time of its debouncing, if nothing came since change `number`."""
        if pin.changes != number or pin.level == pin.steady or self._pins.get(pin.name) is not pin:
            return
        pin.steady = pin.level
        wanted = pin.wiring["edges"]
        rising = bool(pin.level) != bool(pin.wiring["active_low"])
        if pin.holder and wanted in ("both", "rising" if rising else "falling"):
            self._tell_edge(pin, pin.level, at)

    def _tell_edge(self, pin: Pin, level: int, at: int) -> None:
        pin.seqno += 1
        self._edge(pin, level, at)
