"""The program's commands put together, and the option that all of them have. Imports little: help is quick."""

from __future__ import annotations

import os

import click

from labkit.cli.demo import demo
from labkit.cli.loading import load_lab
from labkit.cli.run import run
from labkit.cli.web import web
from labkit.commands.source import LabSource
from labkit.commands.weblab import SHARED
from labkit.loop.lifeline import hold_lifeline

APP = "LABKIT_APP"


class InOrder(click.Group):
    """Shows its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--app",
    metavar="MODULE:APP",
    help=f"The lab's Flask app, or its factory (or {APP}). By default lab:app where there is a lab.py.",
)
@click.version_option(package_name="labkit", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, app: str | None) -> None:
    """Turn a bench of hardware into a remote laboratory.

    Works on the lab in the current folder: its lab.py, else the devices declared in devices/.
    """
    hold_lifeline()
    if app is not None:
        os.environ[APP] = app  # for the processes that are started from here, too
    context.obj = LabSource(lambda: load_lab(os.environ))


for command in (demo, run, web, *SHARED):
    main.add_command(command)
