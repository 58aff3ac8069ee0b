"""`devices scan`: which hardware this machine has that an installed driver could open, and what keeps it from that.

Works anywhere: in a lab's folder, where it knows the lab's own drivers and what is declared already, and outside of
any lab. Asks no store, and disturbs nobody who uses a device.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import Failure, LabCommand, NoLabFailure
from labkit.commands.source import LabSource
from labkit.log_text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from labkit.commands.found_lab import FoundLab
    from labkit.devices.declaration import BenchDeclaration
    from labkit.devices.hardware import Looked, Seen
    from labkit.devices.plugins import Plugins

NOTHING = """\
Nothing was found. Look for this:
  plugged in    `lsusb` shows what is on USB, `dmesg | tail` what the kernel says of it. A cable may carry power only.
  driver        `labkit devices scan` asks the installed drivers: {kinds}. Is there one for this hardware?
  container     a container sees only the devices that it was given: docker run --device=/dev/ttyUSB0 ...
  permission    what is there and may not be opened is shown above with the command that grants it."""


@click.command(cls=LabCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: what was found, and which drivers could not look.")
@click.option("--toml", "as_toml", is_flag=True, help="Print a bench's file to paste, with a table for each device.")
@click.pass_context
def scan(context: click.Context, as_json: bool, as_toml: bool) -> None:
    """Find the hardware of this machine: its stable names, who has it open, which permission is missing.

    Changes nothing, and needs neither a lab nor a running loop.
    """
    from labkit.devices.hardware import look

    as_json = as_json or bool(context.parent and context.parent.params.get("as_json"))
    if as_json and as_toml:
        raise click.UsageError("Say --json or --toml, not both.")
    known = what_is_known(context.find_object(LabSource))
    looks = look(known.plugins.drivers, known.benches)
    if as_json:
        click.echo(json.dumps(as_object(looks), indent=2))
    elif as_toml:
        print_bench_file(looks, known.plugins)
    else:
        show(looks, known.plugins)
    for sentence in [*known.doubts, *([] if as_json else failed(looks))]:
        click.echo(f"{click.style('Note:', fg='yellow')} {sentence}", err=True)


@dataclass(frozen=True, kw_only=True)
class Known:
    """The drivers to ask, and what is declared. doubts: sentences on what could not be read."""

    plugins: Plugins
    benches: Sequence[BenchDeclaration] = ()
    doubts: Sequence[str] = ()


def what_is_known(source: LabSource | None) -> Known:
    """Find drivers and declarations, of the lab where there is one. A lab that is broken stops nobody from looking."""
    from labkit.devices.declaration import check_declarations

    lab = lab_or_none(source)
    plugins = lab.plugins()
    checked = check_declarations(lab.devices, plugins)
    doubts = [f"The lab itself can't be loaded. {lab.trouble}"] if lab.trouble else []
    doubts += [f"{plugin.origin} is broken and was left out: {plugin.error}" for plugin in plugins.broken]
    files = sorted({problem.file for problem in checked.problems})
    if files:
        doubts.append(f"What is declared in {', '.join(files)} is not marked: labkit check says what is wrong.")
    return Known(plugins=plugins, benches=checked.benches, doubts=doubts)


def lab_or_none(source: LabSource | None) -> FoundLab:
    """The lab; where there is none, something that has no declarations, and the installed drivers only."""
    from labkit.commands.found_lab import FoundLab, find
    from labkit.devices.plugins import load_plugins

    trouble = ""
    try:
        return find(source)
    except NoLabFailure:
        pass
    except Failure as failure:
        trouble = failure.message
    nowhere = Path("devices")  # there is no such folder here, or else this were a lab
    return FoundLab(
        devices=nowhere, drivers=nowhere, simulate=False, machine="", trouble=trouble,
        read_plugins=lambda: load_plugins(None),
    )  # fmt: skip


def everything(looks: Sequence[Looked]) -> list[Seen]:
    return [seen for look in looks for seen in look.seen]


def failed(looks: Sequence[Looked]) -> Iterator[str]:
    """A sentence for each driver that could not look."""
    for look in looks:
        if look.error:
            remedy = f" Run: {look.remedy}" if look.remedy else ""
            yield f"The driver '{look.kind}' could not look for hardware: {plain(look.error)}.{remedy}"


def as_object(looks: Sequence[Looked]) -> dict[str, Any]:
    """What was found, for programs."""
    return {
        "found": [
            {
                "kind": seen.kind,
                "path": seen.found.path,
                "title": seen.found.title,
                "facts": dict(seen.found.facts),
                "options": dict(seen.found.options),
                "trouble": seen.found.trouble,
                "remedy": seen.found.remedy,
                "declared": [*seen.declared],
            }
            for seen in everything(looks)
        ],
        "failed": [{"kind": look.kind, "error": look.error, "remedy": look.remedy} for look in looks if look.error],
    }


def print_bench_file(looks: Sequence[Looked], plugins: Plugins) -> None:
    from labkit.commands.bench_draft import bench_draft

    click.echo(bench_draft(everything(looks), plugins.drivers), nl=False)
    if not everything(looks):
        click.echo(nothing(plugins), err=True)


def show(looks: Sequence[Looked], plugins: Plugins) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for look in looks:
        if look.seen or not look.error:
            console.print(f"[bold]{look.kind}[/]{'' if look.seen else '  [dim]nothing found[/]'}")
        for seen in look.seen:
            show_one(console, seen)
    if not everything(looks):
        console.print(nothing(plugins), markup=False)
    else:
        console.print("[dim]A bench's file to paste: labkit devices scan --toml[/]")


def show_one(console: Console, seen: Seen) -> None:
    """One piece of hardware: its stable name, then what is known of it, a line for each fact."""
    from labkit.commands.terminal import escape

    found = seen.found
    console.print(f"  {escape(found.path)}  [bold]{escape(found.title)}[/]")
    width = max((len(name) for name in found.facts), default=0)
    for name, value in found.facts.items():
        console.print(f"      {escape(name):<{width}}  {escape(value)}")
    if seen.declared:
        console.print(f"      [green]declared as {escape(', '.join(seen.declared))}[/]")
    if found.trouble:
        console.print(f"      [yellow]{escape(found.trouble)}[/]. {escape(found.remedy)}".rstrip())


def nothing(plugins: Plugins) -> str:
    return NOTHING.format(kinds=", ".join(sorted(plugins.drivers)) or "none")
