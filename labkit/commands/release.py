"""`release`: ends the session that has a bench, in order, so that the next one can have it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

from labkit.commands.failure import MISCONFIGURED, Failure, LabCommand
from labkit.commands.running import is_running, no_loop_yet, nothing_runs
from labkit.commands.source import pass_running_lab
from labkit.commands.times import local_time

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.store.reservations import BenchView


@click.command(cls=LabCommand)
@click.argument("bench")
@pass_running_lab
def release(lab: Lab, bench: str) -> None:
    """End the session that has a bench.

    BENCH is the name of a bench, or of one of its devices (bench/device): a bench is released as a whole. The user is
    out at once; tasks are stopped, on_dispose runs, the devices are made safe. Waits until the bench is free; where
    no loop runs, the next one does the rest.
    """
    if not is_running(lab):
        raise Failure(nothing_runs(lab))
    found = find_bench(lab, bench)
    held = {device.session: device.since for device in found.devices if device.hold != "none"}
    if not held:
        click.echo(f"{found.name} is free already; nothing was done.")
        return
    if not found.host:
        put_out(lab, found, held)
    for session_id, since in held.items():
        end(lab, found.name, session_id, since)
    report(find_bench(lab, found.name))


def find_bench(lab: Lab, name: str) -> BenchView:
    """The bench of that name, or that has the device of that name. Errors: `Failure` naming those that there are."""
    benches = {view.name: view for view in lab.reservations.benches()}
    if not benches:
        raise Failure(no_loop_yet(lab))
    bench = benches.get(name.partition("/")[0])
    if bench is None:
        raise Failure(f"There is no bench '{name}'. Known: {', '.join(benches)}.", code=MISCONFIGURED)
    names = [device.name for device in bench.devices]
    if "/" in name and name not in names:
        raise Failure(f"There is no device '{name}'. Known: {', '.join(names) or 'none'}.", code=MISCONFIGURED)
    return bench


def put_out(lab: Lab, bench: BenchView, session_ids: Iterable[str]) -> NoReturn:
    """End the sessions of a bench that nobody hosts, as far as that goes now. Errors: `Failure`, always."""
    from labkit.store.sessions import EndReason

    for session_id in session_ids:
        lab.sessions.end(session_id, EndReason.ADMIN)
    where = f" on {bench.machine}" if bench.machine and bench.machine != lab.settings.machine_name else ""
    raise Failure(
        f"No loop runs for {bench.name}: its user is out, but nobody is there to make its devices safe. The next loop "
        f"runs on_dispose, makes them safe and frees the bench. Start it{where}: labkit loop"
    )


def end(lab: Lab, bench: str, session_id: str, since: float) -> None:
    from labkit.sessions import end_session
    from labkit.store.sessions import EndReason, SessionState

    seconds = longest_ending(lab)
    state = end_session(lab, session_id, EndReason.ADMIN, wait=seconds)
    if state in (SessionState.EXPIRED, SessionState.UNKNOWN):
        click.echo(f"The session that had {bench} since {local_time(since)} has ended.")
        return
    why = "its on_start has not come to its end" if state is SessionState.STARTING else "its ending is not done"
    raise Failure(
        f"{bench} is not free after {seconds:.0f} s: the user is out, but {why}. The log of the loop says more."
    )


def longest_ending(lab: Lab) -> float:
    """Seconds that an ending may take by the settings, all its steps together."""
    settings = lab.settings
    return settings.task_stop + settings.dispose_timeout + settings.release_timeout + 10.0


def report(bench: BenchView) -> None:
    """Say whether the bench can be given out now."""
    held = [device.name for device in bench.devices if device.hold == "releasing"]
    if held:
        raise Failure(f"{', '.join(held)} could not be made safe yet. See: labkit devices")
    bad = [
        f"{device.name} is {device.condition} ({device.reason})" for device in bench.devices if device.condition != "ok"
    ]
    if bench.service is not None:
        click.echo(f"{bench.name} is free, and {bench.service.text}. To put it back: labkit bench resume {bench.name}")
    elif bad:
        click.echo(f"{bench.name} is free, but can't be given out: {'; '.join(bad)}.")
    else:
        click.echo(f"{bench.name} is free.")
