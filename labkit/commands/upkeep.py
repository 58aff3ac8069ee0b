"""`clean-expired-users` and `run-tasks`: work of a loop, done once and in the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import LabCommand
from labkit.commands.source import pass_lab

if TYPE_CHECKING:
    from labkit.lab import Lab


@click.command("clean-expired-users", cls=LabCommand)
@pass_lab
def clean_expired_users(lab: Lab) -> None:
    """End every session that is due, and wait for it."""
    _weblab(lab).clean_expired_users()


@click.command("run-tasks", cls=LabCommand)
@pass_lab
def run_tasks(lab: Lab) -> None:
    """Run the tasks that wait, once."""
    _weblab(lab).run_tasks()


def _weblab(lab: Lab) -> Any:
    """The lab's WebLab, which is of a floor above this one."""
    return lab.app.extensions["weblab"]
