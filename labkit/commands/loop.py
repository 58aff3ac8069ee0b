"""`loop`: the service that owns the hardware. What it does is in `labkit.loop`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from labkit.commands.failure import LabCommand
from labkit.commands.simulation import simulate_option, simulate_where_asked
from labkit.commands.source import pass_lab

if TYPE_CHECKING:
    from labkit.lab import Lab


@click.command(cls=LabCommand)
@click.option("--threads", type=click.IntRange(min=0), help="Task runners; by default WEBLAB_TASK_THREADS_PROCESS.")
@click.option(
    "--reload/--no-reload",
    default=None,
    help="Begin anew whenever a .py or .toml file of the lab changes; by default as FLASK_DEBUG says.",
)
@simulate_option
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@pass_lab
def loop(lab: Lab, threads: int | None, reload: bool | None, quiet: bool) -> None:
    """Own the hardware, run tasks, end overdue sessions.

    Goes on until Ctrl-C or SIGTERM, then makes every device safe and closes it. Run one on each machine that has
    devices; several on one machine share the benches among them. SIGHUP has it read the declarations again, and open
    the benches that changed anew as soon as nobody has them.
    """
    from labkit.commands.logs import PART, set_up_logs
    from labkit.loop.service import run_loop

    simulate_where_asked(lab, os.environ)
    set_up_logs(os.environ.get(PART, ""), quiet=quiet)
    run_loop(lab, threads=threads, reload=lab.app.debug if reload is None else reload)
