"""`devices`: what everybody may know of every device, as a table or as JSON. Only looks: starts and opens nothing.

It is a group too: `devices scan` looks for hardware, and needs no lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import LabGroup
from labkit.commands.running import is_running, no_loop_yet, nothing_runs
from labkit.commands.scan import scan
from labkit.commands.source import pass_running_lab
from labkit.commands.times import iso_time, local_time, zone

if TYPE_CHECKING:
    from rich.table import Table

    from labkit.lab import Lab
    from labkit.store.reservations import BenchView, DeviceView

WIDE = 200
"""Columns where the output is no terminal: a line for each device, so that grep finds all of it."""


@click.group(cls=LabGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a list with an object for each device.")
@click.pass_context
def devices(context: click.Context, as_json: bool) -> None:
    """Show every device: its condition, and its hold."""
    if context.invoked_subcommand is None:
        show_devices(as_json)


devices.add_command(scan)


@pass_running_lab
def show_devices(lab: Lab, as_json: bool) -> None:
    """Print the devices of the running lab."""
    running = is_running(lab)
    benches = lab.reservations.benches() if running else []
    if as_json:
        click.echo(json.dumps([facts(bench, device) for bench, device in pairs(benches)], indent=2))
    elif benches:
        print_table(benches)
    else:
        click.echo(no_loop_yet(lab) if running else nothing_runs(lab))


def pairs(benches: Iterable[BenchView]) -> Iterator[tuple[BenchView, DeviceView]]:
    """Each device with its bench."""
    return ((bench, device) for bench in benches for device in bench.devices)


def facts(bench: BenchView, device: DeviceView) -> dict[str, Any]:
    """What is known of a device, for programs. Times are ISO 8601 in UTC; None where there is none."""
    held = device.hold != "none"
    return {
        "bench": bench.name,
        "device": device.name.partition("/")[2],
        "name": device.name,
        "kind": kind_of(bench, device),
        "title": known_of(bench, device).get("title", ""),
        "condition": device.condition if bench.host else "offline",
        "reason": device.reason if bench.host else "its bench has no host: start `labkit loop`",
        "blame": (device.blame if bench.host else "lab") or None,
        "condition_since": iso_time(device.condition_since),
        "hold": device.hold,
        "since": iso_time(device.since) if held else None,
        "until": iso_time(device.until) if held else None,
        "service": service_of(bench),
        "host": bench.host or None,
        "machine": bench.machine or None,
    }


def service_of(bench: BenchView) -> dict[str, Any] | None:
    """What the lab's owner has said of a bench, for programs; None where it is in service."""
    service = bench.service
    if service is None:
        return None
    return {"state": service.duty.value, "since": iso_time(service.since), "reason": service.reason}


def known_of(bench: BenchView, device: DeviceView) -> dict[str, Any]:
    """What the host published of one device."""
    published = bench.info.get("devices", {})
    return dict(published.get(device.name.partition("/")[2], {}))


def kind_of(bench: BenchView, device: DeviceView) -> str:
    return str(known_of(bench, device).get("kind", ""))


def print_table(benches: Iterable[BenchView]) -> None:
    from rich.console import Console

    from labkit.commands.terminal import escape

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    console.print(table(benches))
    console.print()
    for name, text in out_of_service(benches):
        console.print(f"[bold]{escape(name)}[/] is {escape(text)}")
    for name, condition, reason, blame in troubles(benches):
        to_blame = f" [dim](to blame: {blame})[/]" if blame else ""
        console.print(f"[bold]{escape(name)}[/] is {condition}: {escape(reason)}{to_blame}")
    console.print(f"[dim]Times are {zone()}.[/]")


def table(benches: Iterable[BenchView]) -> Table:
    """The table of all devices; on 80 columns only hosts may take more than a line."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("device", "kind", "condition", "hold", "since", "until", "host"):
        made.add_column(title, overflow="fold", no_wrap=title != "host")
    for bench in benches:
        for device in bench.devices:
            made.add_row(*row(bench, device))
    return made


def out_of_service(benches: Iterable[BenchView]) -> Iterator[tuple[str, str]]:
    """Each bench that its owner took out of service, and what to say of it."""
    for bench in benches:
        if bench.service is not None:
            yield bench.name, f"{bench.service.text} since {local_time(bench.service.since)}"


def troubles(benches: Iterable[BenchView]) -> Iterator[tuple[str, str, str, str]]:
    """Name, condition, reason and blame of each device that can't be used; below the table there is room for them."""
    for bench, device in pairs(benches):
        known = facts(bench, device)
        if known["condition"] != "ok":
            yield device.name, known["condition"], known["reason"], known["blame"] or ""


def row(bench: BenchView, device: DeviceView) -> tuple[str, ...]:
    from labkit.commands.terminal import escape

    known = facts(bench, device)
    condition = known["condition"]
    color = {"ok": "green", "offline": "yellow", "faulty": "red"}.get(condition, "default")
    held = device.hold != "none"
    return (
        escape(device.name),
        escape(kind_of(bench, device)),
        f"[{color}]{escape(condition)}[/]",
        {"none": free_text(bench), "reserved": "[bold]reserved[/]"}.get(device.hold, escape(device.hold)),
        local_time(device.since) if held else "",
        local_time(device.until) if held and device.hold == "reserved" else "",
        escape(host_name(bench)),
    )


def free_text(bench: BenchView) -> str:
    """What stands where a device has no hold: whether a session can get it, as far as its owner is concerned."""
    return "[dim]free[/]" if bench.service is None else f"[yellow]{bench.service.duty.value}[/]"


def host_name(bench: BenchView) -> str:
    """The process that hosts a bench, as people look for it: its machine and process id."""
    machine, _, rest = bench.host.rpartition(":")[0].rpartition(":")
    return f"{machine} {rest}" if machine else (bench.host or f"none ({bench.machine})" if bench.machine else "none")
