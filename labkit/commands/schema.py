"""`schema`: the JSON Schema of a bench's file, with the installed drivers' options, for editors. Starts nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from labkit.commands.failure import Failure, LabCommand, NoLabFailure
from labkit.commands.source import LabSource


@click.command(cls=LabCommand)
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Write it into this file, and say how an editor finds it.",
)  # fmt: skip
@click.pass_context
def schema(context: click.Context, output: Path | None) -> None:
    """Print the JSON Schema of a bench's file.

    It has the options of all drivers that are installed here or lie in drivers/. An editor that knows it completes
    keys, shows their help, and marks what is wrong. Print it again when drivers change.
    """
    from labkit.commands.found_lab import find
    from labkit.devices.plugins import load_plugins
    from labkit.devices.schema import bench_schema

    devices = Path("devices")
    try:
        lab = find(context.find_object(LabSource))
        plugins, devices = lab.plugins(), lab.devices
    except NoLabFailure:
        plugins = load_plugins(None)  # the installed ones are there anywhere
    for broken in plugins.broken:
        note = f"plugin '{broken.name}' ({broken.origin}) is broken, and its drivers are left out: {broken.error}"
        click.echo(f"{click.style('Note:', fg='yellow')} {note}", err=True)
    text = json.dumps(bench_schema(plugins), indent=2, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", "utf-8")
    except OSError as error:
        raise Failure(f"{output} can't be written: {error.strerror}.") from error
    click.echo(f"Wrote {output}, with the drivers {', '.join(sorted(plugins.drivers)) or 'none'}.")
    way = os.path.relpath(output.absolute(), devices.absolute())
    click.echo(f"Write this in the first line of each bench's file: #:schema {way if '/' in way else './' + way}")
