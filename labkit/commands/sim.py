"""`sim`: makes a simulated device fail while the lab runs, and lists which ones are simulated and what they have.

It speaks to the device's twin on this machine, not to the loop: the twin of the same class, made here in the device's
folder, knows how to reach the one that is open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import MISCONFIGURED, Failure, LabCommand
from labkit.commands.running import is_running, no_loop_yet
from labkit.commands.source import pass_running_lab
from labkit.devices.nearest import nearest

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.plugin import Twin
    from labkit.store.reservations import BenchView, DeviceView

FAULTS = {
    "unplug": "{0} is unplugged: offline until it is plugged in. Undo: labkit sim plug {0}",
    "plug": "{0} is plugged in; its host opens it within a second or two.",
    "hang": "{0} hangs: what is asked of it blocks until it is interrupted. Undo: labkit sim normal {0}",
    "garbage": "{0} says noise. Undo: labkit sim normal {0}",
    "slow": "{0} is slow. Undo: labkit sim normal {0}",
    "normal": "{0} has no faults any more.",
}
"""What is said of each fault of `labkit.plugin.FAULTS`, whose import would make `--help` slow."""


@click.command(cls=LabCommand)
@click.argument("fault", required=False, type=click.Choice(list(FAULTS)), metavar=f"[{'|'.join(FAULTS)}]")
@click.argument("device", required=False)
@pass_running_lab
def sim(lab: Lab, fault: str | None, device: str | None) -> None:
    """Make a simulated device fail.

    The lab runs on and sees what it would see of the hardware. DEVICE is bench/device, or the device's name where it is
    the only one with it. Faults add up until `normal`, and end with the process that simulates the device. Without
    arguments: lists the simulated devices and the faults that they have.
    """
    if not is_running(lab):
        raise Failure("Nothing runs here, so nothing is simulated. Start it: labkit run --simulate")
    simulated = simulated_devices(lab)
    if fault is None:
        show(lab, simulated)
        return
    if device is None:
        raise Failure(f"Say which device: labkit sim {fault} {example(simulated)}", code=MISCONFIGURED)
    found = find_device(lab, device)
    refuse_where_not_here(lab, found, simulated)
    twin = twin_of(lab, found.name)
    try:
        twin.inject(fault)
    except ConnectionError as error:
        raise Failure(f"{error} It may just be being opened. See: labkit devices") from error
    click.echo(FAULTS[fault].format(found.name))


@dataclass(frozen=True, kw_only=True)
class Found:
    """A device as its host has published it."""

    name: str
    condition: str
    simulated: bool
    host: str
    machine: str


def all_devices(lab: Lab) -> list[Found]:
    """Every device that a loop has ever published. Errors: `Failure` where there is none."""
    benches = lab.reservations.benches()
    if not benches:
        raise Failure(no_loop_yet(lab))
    return [found(bench, device) for bench in benches for device in bench.devices]


def found(bench: BenchView, device: DeviceView) -> Found:
    published = bench.info.get("devices", {}).get(device.name.partition("/")[2], {})
    return Found(
        name=device.name,
        condition=device.condition if bench.host else "offline",
        simulated=bool(published.get("simulated")),
        host=bench.host,
        machine=bench.machine,
    )


def simulated_devices(lab: Lab) -> list[Found]:
    return [device for device in all_devices(lab) if device.simulated]


def find_device(lab: Lab, name: str) -> Found:
    """The device that is meant. Errors: `Failure` with those that it could be."""
    devices = {device.name: device for device in all_devices(lab)}
    fitting = [known for known in devices if name in (known, known.partition("/")[2])]
    if len(fitting) == 1:
        return devices[fitting[0]]
    if fitting:
        raise Failure(f"There are {len(fitting)} devices '{name}': {', '.join(fitting)}. Say one.", code=MISCONFIGURED)
    meant = nearest(name, [*devices, *(known.partition("/")[2] for known in devices)])
    hint = f"Did you mean {meant}?" if meant else f"Known: {', '.join(devices) or 'none'}."
    raise Failure(f"There is no device '{name}'. {hint}", code=MISCONFIGURED)


def refuse_where_not_here(lab: Lab, device: Found, simulated: Iterable[Found]) -> None:
    """Errors: `Failure` for hardware, for a device that nobody hosts, and for one on another machine."""
    if not device.simulated:
        others = ", ".join(other.name for other in simulated)
        which = f"Simulated are: {others}." if others else "To simulate all devices: labkit run --simulate"
        raise Failure(f"{device.name} is hardware, which can't be made to fail from here. {which}")
    if not device.host:
        raise Failure(f"No loop runs that has {device.name}, so nobody simulates it. Start one: labkit loop")
    if device.machine and device.machine != lab.settings.machine_name:
        raise Failure(f"{device.name} is simulated on machine {device.machine}. Run this command there.")


def twin_of(lab: Lab, name: str) -> Twin:
    """An instance of the device's twin, not open. Errors: `Failure` where it can't fail on demand."""
    from labkit.plugin import Twin

    declared = {device.full_name: device for bench in lab.catalog.benches.values() for device in bench.devices}
    declaration = declared.get(name)
    if declaration is None:
        raise Failure(f"{name} runs, but is not declared any more in {lab.devices_folder}.", code=MISCONFIGURED)
    twin = declaration.driver.simulated or declaration.driver
    if not issubclass(twin, Twin):
        raise Failure(
            f"{name} can't fail on demand: its twin {twin.__name__} is no labkit.plugin.Twin. "
            "See docs/how-to/simulate.md for what its author can add."
        )
    return twin(declaration.options, SilentLink(name, lab.instance / "devices" / name))


@dataclass
class SilentLink:
    """The link of a twin that is only asked to fail, and never opened."""

    name: str
    folder: Path

    def emit(self, feed: str, data: Any) -> None:
        pass

    def lost(self, reason: str) -> None:
        pass

    def watched(self, feed: str) -> bool:
        return False


def show(lab: Lab, simulated: list[Found]) -> None:
    """Print the simulated devices, a line each."""
    if not simulated:
        click.echo("No device is simulated. To simulate all of them: labkit run --simulate")
        return
    width = max(len(device.name) for device in simulated)
    for device in simulated:
        click.echo(f"{device.name:{width}}  {device.condition:8} {faults_of(lab, device)}")
    click.echo(f"\nFaults: {', '.join(FAULTS)}. For example: labkit sim unplug {example(simulated)}")


def faults_of(lab: Lab, device: Found) -> str:
    """The faults that a device has, in words."""
    try:
        refuse_where_not_here(lab, device, ())
        return ", ".join(sorted(twin_of(lab, device.name).injected())) or "no faults"
    except (Failure, ConnectionError) as error:
        return str(error) if isinstance(error, ConnectionError) else error.message


def example(simulated: list[Found]) -> str:
    return simulated[0].name if simulated else "DEVICE"
