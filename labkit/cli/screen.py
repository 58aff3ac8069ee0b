"""What `labkit run` and `labkit demo` show: a header at once, and a summary when the parts are ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from labkit.commands.terminal import escape

if TYPE_CHECKING:
    from labkit.cli.readiness import Readiness
    from labkit.lab import Lab
    from labkit.store.reservations import DeviceView

WIDTH = 78
"""Columns of the header; a wide terminal would tear it apart."""

Facts = Sequence[tuple[str, str]]
"""Lines with a name each, '' where a line goes on with the one before."""

READY = "[green]ready[/]"


def show_header(console: Console, title: str) -> None:
    """The first line: which labkit, what it runs, how it is ended."""
    from importlib.metadata import version

    line = Table.grid(expand=True)
    line.width = min(console.width, WIDTH)
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
        grid.add_row("loop", f"no bench is declared in {escape(str(lab.devices_folder))}", "[yellow]idle[/]")
    grid.add_row("web", escape(url), READY if seen.web else "[yellow]does not answer yet[/]")
    console.print()
    console.print(grid)
    for device in unusable(seen):
        console.print(f"\n  [bold]{escape(device.name)}[/] is {device.condition}: {escape(device.reason)}")
    console.print()


def show_notices(console: Console, notices: Iterable[str]) -> None:
    """Sentences about what may be a mistake."""
    told = [*notices]
    for notice in told:
        console.print(f"  [yellow]Note:[/] {escape(notice)}", soft_wrap=True)
    if told:
        console.print()


def show_facts(console: Console, facts: Facts) -> None:
    """Names and values below; a value is never wrapped, so that a URL can be clicked and copied."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        console.print(f"  [bold]{escape(name):<{width}}[/]  {escape(value)}", soft_wrap=True)
    console.print()


def store_of(lab: Lab) -> str:
    from labkit.store.address import shown

    if lab.settings.redis_url:
        return f"at {shown(lab.settings.redis_url)}"
    return "Valkey, private to this lab"


def benches_of(lab: Lab, seen: Readiness) -> Iterator[tuple[str, str, str]]:
    """A row for each declared bench: name, its devices, state."""
    for bench in lab.catalog.benches.values():
        simulated = bool(bench.devices) and all(device.options.simulate for device in bench.devices)
        names = ", ".join(device.name for device in bench.devices) or "has no devices"
        devices = names + (" (simulated)" if simulated else "")
        bad = [device for device in unusable(seen) if device.name.startswith(f"{bench.name}/")]
        if bench.machine not in (None, lab.settings.machine_name):
            state = f"[dim]on machine {escape(str(bench.machine))}[/]"
        elif bench.name in seen.missing:
            state = "[yellow]has no host yet[/]"
        elif bad:
            state = "[red]faulty[/]" if any(device.condition == "faulty" for device in bad) else "[yellow]offline[/]"
        else:
            state = READY if bench.devices else "[yellow]idle[/]"
        yield bench.name, devices, state


def unusable(seen: Readiness) -> list[DeviceView]:
    """The devices that can't be used, each with its reason."""
    return [device for device in seen.devices.values() if device.condition != "ok"]
