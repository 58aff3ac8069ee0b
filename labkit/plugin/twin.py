"""Twin: what a simulated device has besides its driver's surface: faults that can be had on demand. For plugin authors.

`labkit sim unplug DEVICE` makes a running twin misbehave, from any terminal of the machine that simulates it.
"""

from __future__ import annotations

from typing import Any

FAULTS = ("unplug", "plug", "hang", "garbage", "slow", "normal")
"""unplug: gone until `plug`. hang: does not answer. garbage: what it says is noise. slow: all takes its time.
normal: none of these any more."""


class Twin:
    """Mixin of simulated twins: `class SimulatedFan(Twin, Fan)`.

    Without `inject` of its own a twin keeps its faults in its device's folder and calls `simulate()` first thing in
    `open()` and in each command.
    """

    link: Any

    def inject(self, fault: str) -> None:
        """Have this fault, one of `FAULTS`, from now on. Called on an instance that is not open, in any process of the
        machine that simulates the device. Errors: ConnectionError where nobody simulates it at the moment."""
        raise NotImplementedError(f"{type(self).__name__}.inject")
