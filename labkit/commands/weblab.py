"""The group `flask weblab`: those commands that make sense beside an app. Used by the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labkit.commands.bench import bench
from labkit.commands.check import check
from labkit.commands.devices import devices
from labkit.commands.driver import driver, plugins
from labkit.commands.fake import fake
from labkit.commands.loop import loop
from labkit.commands.release import release
from labkit.commands.schema import schema
from labkit.commands.sim import sim
from labkit.commands.source import LabSource
from labkit.commands.upkeep import clean_expired_users, run_tasks

if TYPE_CHECKING:
    from labkit.lab import Lab

SHARED: tuple[click.Command, ...] = (
    loop,
    check,
    schema,
    devices,
    bench,
    release,
    sim,
    driver,
    plugins,
    fake,
    clean_expired_users,
    run_tasks,
)
"""The commands that `labkit` has too, in the order of its help."""

NEED_DECLARATIONS: tuple[click.Command, ...] = (loop, fake, clean_expired_users, run_tasks)
"""Those that work on a lab whose declarations are good. All others say themselves what is wrong, or do without."""


def weblab_commands(lab: Lab) -> list[click.Command]:
    """What a WebLab adds to `app.cli`: the group `weblab`, whose commands work on this lab."""

    @click.group("weblab", help="The remote laboratory of this app.")
    @click.pass_context
    def weblab(context: click.Context) -> None:
        context.obj = LabSource(lambda: lab)

    for command in SHARED:
        weblab.add_command(command)
    return [weblab]
