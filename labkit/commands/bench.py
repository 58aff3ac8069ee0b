"""`bench`: takes a bench out of service and back, and shows what became of it and its devices.

What the owner says stands in the store, so it outlives loops; where none runs, the next one follows it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from labkit.commands.failure import MISCONFIGURED, Failure, LabCommand
from labkit.commands.running import is_running, no_loop_yet, nothing_runs
from labkit.commands.source import pass_running_lab
from labkit.commands.times import iso_time, local_time, zone

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.store.reservations import BenchChange, BenchView

LOOK_SECONDS = 1.0
"""How often somebody who waits looks again, where no news comes before."""
LONGEST_REASON = 200
"""Characters of a reason: each student who is refused the bench reads it."""

wait_option = click.option("--wait", is_flag=True, help="Wait until nobody has the bench any more.")


@click.group()
def bench() -> None:
    """Take a bench out of service and back; see its log."""


@bench.command(cls=LabCommand)
@click.argument("name")
@click.argument("why", required=False, default="", metavar="[REASON]")
@click.option("--reason", default="", help="Why, for those who are refused the bench meanwhile; the same as REASON.")
@wait_option
@pass_running_lab
def drain(lab: Lab, name: str, why: str, reason: str, wait: bool) -> None:
    """Give the bench to no new session.

    Who has it keeps it to the end; its devices stay open. Undo: labkit bench resume NAME
    """
    from labkit.store.reservations import Duty

    reason = reason or why
    require_short(reason)
    require_known(lab, name)
    changed = lab.reservations.set_duty(name, Duty.DRAINED, reason) is not None
    click.echo(f"No new session gets {name}." if changed else f"{name} is drained already.")
    say_who_has_it(lab, name)
    if wait:
        wait_until(lab, name, is_free)
        click.echo(f"{name} is free.")


@bench.command(cls=LabCommand)
@click.argument("name")
@click.argument("reason")
@wait_option
@pass_running_lab
def maintenance(lab: Lab, name: str, reason: str, wait: bool) -> None:
    """Have the bench's devices made safe and closed, so that people and other programs can work on it.

    No new session gets it; who has it keeps it to the end, and only then its devices are closed. They stay closed until
    `labkit bench resume NAME`, also if the loop is started again. REASON is read by those who are refused the bench.
    """
    from labkit.store.reservations import Duty

    if not reason.strip():
        raise Failure("Say why the bench is in maintenance: those who are refused it read that.", code=MISCONFIGURED)
    require_short(reason)
    require_known(lab, name)
    changed = lab.reservations.set_duty(name, Duty.MAINTENANCE, reason) is not None
    click.echo(f"{name} is in maintenance{'' if changed else ' already'}; no new session gets it.")
    say_who_has_it(lab, name)
    if wait:
        say_closed(wait_until(lab, name, is_closed), name)
    else:
        click.echo("Its devices are closed when nobody has it. Wait for that by --wait, or see: labkit devices")


@bench.command(cls=LabCommand)
@click.argument("name")
@pass_running_lab
def resume(lab: Lab, name: str) -> None:
    """Put the bench back in service.

    After maintenance its devices are opened, made safe and checked before a session gets it.
    """
    from labkit.store.reservations import Duty

    require_known(lab, name)
    before = lab.reservations.set_duty(name, Duty.IN_SERVICE)
    if before is None:
        click.echo(f"{name} is in service already.")
    elif before is Duty.MAINTENANCE:
        click.echo(f"{name} is in service again, as soon as its devices are open, safe and checked: labkit devices")
    else:
        click.echo(f"{name} is in service again.")


@bench.command(cls=LabCommand)
@click.argument("name")
@click.option(
    "-n", "count", default=20, show_default=True, type=click.IntRange(1), help="How many of the newest changes."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a list with an object for each change.")
@pass_running_lab
def log(lab: Lab, name: str, count: int, as_json: bool) -> None:
    """Show what became of the bench and its devices, the newest last.

    Every change of a device's condition, and of the bench's service, with its cause and whose fault it seems to be. The
    last thousand are kept.
    """
    if not is_running(lab):
        raise Failure(nothing_runs(lab))
    changes = lab.reservations.bench_log(name, count)
    if not changes:
        require_known(lab, name)
    if as_json:
        click.echo(
            json.dumps([{**dataclasses.asdict(change), "at": iso_time(change.at)} for change in changes], indent=2)
        )
        return
    for change in changes:
        click.echo(line_of(change, name))
    click.echo(f"Times are {zone()}." if changes else f"Nothing has happened to {name} yet.")


def line_of(change: BenchChange, bench: str) -> str:
    """One change in one line."""
    became = change.after if change.before == change.after else f"{change.before} -> {change.after}"
    reason = f": {change.reason}" if change.reason else ""
    blame = f" (to blame: {change.blame})" if change.blame else ""
    return f"{local_time(change.at)}  {change.device or bench}  {became}{reason}{blame}"


def require_short(reason: str) -> None:
    """Errors: `Failure` for a reason that is too long to be read by those who are refused the bench."""
    if len(reason) > LONGEST_REASON:
        raise Failure(
            f"The reason has {len(reason)} characters, {LONGEST_REASON} are the most: "
            "each student who is refused the bench reads it. Say it shorter.",
            code=MISCONFIGURED,
        )


def require_known(lab: Lab, name: str) -> None:
    """Errors: `Failure` where no bench of this name was ever hosted or is declared here. An embedded store is started
    where none runs: what the owner says is kept in it for the next loop."""
    known = [view.name for view in lab.reservations.benches()]
    if name not in known:
        known += [declared for declared in lab.catalog.benches if declared not in known]
    if name not in known:
        raise Failure(
            f"There is no bench '{name}'. Known: {', '.join(known)}." if known else no_loop_yet(lab), code=MISCONFIGURED
        )


def find(lab: Lab, name: str) -> BenchView | None:
    """The bench as it is now; None: no loop has ever hosted it."""
    return next((view for view in lab.reservations.benches() if view.name == name), None)


def is_free(view: BenchView | None) -> bool:
    return view is None or all(device.hold == "none" for device in view.devices)


def is_closed(view: BenchView | None) -> bool:
    """Has nobody the bench, and has its host, if any, closed its devices?"""
    if view is None:
        return True
    resting = all(device.reason.startswith("in maintenance") for device in view.devices)
    return is_free(view) and (resting or not view.host)


def say_who_has_it(lab: Lab, name: str) -> None:
    view = find(lab, name)
    held = [device for device in view.devices if device.hold != "none"] if view is not None else []
    if held:
        since, until = local_time(min(one.since for one in held)), local_time(max(one.until for one in held))
        click.echo(f"A session has it since {since}, until {until} at the latest. To end it now: labkit release {name}")


def say_closed(view: BenchView | None, name: str) -> None:
    """Say that people can work on the bench now, and what to beware of."""
    from labkit.loop.upkeep import NOT_SAFE

    unsafe = [device for device in view.devices if NOT_SAFE in device.reason] if view is not None else []
    for device in unsafe:
        click.echo(f"Take care: {device.name} is {device.condition}: {device.reason}")
    if view is None or not view.host:
        click.echo(
            f"No loop answers for {name}, and the next one will leave it closed. "
            "One that was stopped or lost the store may still have its devices open: look whether its process is gone."
        )
    else:
        click.echo(f"The devices of {name} are {'' if unsafe else 'safe and '}closed.")
    click.echo(f"When the work is done: labkit bench resume {name}")


def wait_until(lab: Lab, name: str, done: Callable[[BenchView | None], bool]) -> BenchView | None:
    """Wait until it is so; Ctrl-C ends the wait, and nothing else. Returns the bench as it was then: a loop that starts
    or ends a moment later must not change what is said of it."""
    position = lab.processes.changes_position()
    while not done(view := find(lab, name)):
        position = lab.processes.wait_for_changes(position, LOOK_SECONDS)
    return view
