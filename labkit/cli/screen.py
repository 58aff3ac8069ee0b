"""What `labkit run` and `labkit demo` show: a header at once, and a summary when the parts are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from labkit.cli.readiness import Readiness
    from labkit.lab import Lab
    from labkit.store.reservations import DeviceView

READY = "[green]ready[/]"


def show_header(console: Console, title: str) -> None:
    """The first line: which labkit, what it runs, how it is ended."""
    from importlib.metadata import version

    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right", no_wrap=True)
    line.add_row(f"[bold]labkit {version('labkit')}[/]  {escape(title)}", "[dim]Ctrl-C ends it[/]")
    console.print()
    console.print(line)


def show_parts(console: Console, lab: Lab, url: str, seen: Readiness) -> None:
    """Each part of the lab, and whether it is ready."""
    grid = Table.grid(padding=(0, 2), pad_edge=True)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    grid.add_row("store", escape(store_of(lab)), READY)
    for bench, devices, state in benches_of(lab, seen):
        grid.add_row("loop", f"{escape(bench)}  [dim]{escape(devices)}[/]", state)
    if not lab.catalog.benches:
        grid.add_row("loop", f"no bench is declared in {escape(str(lab.devices_folder))}", READY)
    grid.add_row("web", escape(url), READY if seen.web else "[yellow]does not answer yet[/]")
    console.print()
    console.print(grid)
    console.print()


def show_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Names and values below; a value is never wrapped, so that a URL can be clicked and copied."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        console.print(f"  [bold]{escape(name):<{width}}[/]  {escape(value)}", soft_wrap=True)
    console.print()


def store_of(lab: Lab) -> str:
    if lab.settings.redis_url:
        return f"at {lab.settings.redis_url.rpartition('@')[2]}"
    return "Valkey, private to this lab"


def benches_of(lab: Lab, seen: Readiness) -> list[tuple[str, str, str]]:
    """A row for each declared bench: name, its devices, state."""
    rows = []
    for bench in lab.catalog.benches.values():
        names = [device.name for device in bench.devices]
        bad = [
            view for view in seen.devices.values() if view.name.startswith(f"{bench.name}/") and view.condition != "ok"
        ]
        simulated = all(device.options.simulate for device in bench.devices)
        shown = ", ".join(names) + (", simulated" if simulated and names else "")
        if bench.machine not in (None, lab.settings.machine_name):
            state = f"[dim]on machine {escape(str(bench.machine))}[/]"
        elif bench.name in seen.missing:
            state = "[yellow]has no host yet[/]"
        else:
            state = "\n".join(map(trouble, bad)) or READY
        rows.append((bench.name, shown, state))
    return rows


def trouble(device: DeviceView) -> str:
    """Why a device can't be used."""
    color = "red" if device.condition == "faulty" else "yellow"
    name = device.name.partition("/")[2]
    return f"{escape(name)} is [{color}]{device.condition}[/]: {escape(device.reason)}"
