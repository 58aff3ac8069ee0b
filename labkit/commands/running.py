"""Whether anything of a lab runs, found without starting anything. Used by the commands that only look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab import Lab


def is_running(lab: Lab) -> bool:
    """Whether the lab's store is there to be asked. The embedded one is not started for that, and no folder is made.

    One that does not answer at the moment is there all the same: who asks it something is told so.
    """
    from labkit.store import keeper
    from labkit.store.embedded import EmbeddedStore

    if lab.settings.redis_url:
        return True
    return keeper.is_there(keeper.recorded_address(str(EmbeddedStore(lab.instance).folder)))


def nothing_runs(lab: Lab) -> str:
    """The sentence for somebody who looks while nothing runs."""
    return f"Nothing runs here. {declared(lab)} Start it: labkit run"


def no_loop_yet(lab: Lab) -> str:
    """The sentence where the store is there, and no loop has ever opened a bench."""
    return f"No bench is known yet: no loop has run here. {declared(lab)} Start one: labkit loop"


def declared(lab: Lab) -> str:
    """Which devices the lab declares. Errors: `DeclarationError`."""
    names = [device.full_name for bench in lab.catalog.benches.values() for device in bench.devices]
    return f"Declared: {', '.join(names)}." if names else f"No device is declared in {lab.devices_folder}."
