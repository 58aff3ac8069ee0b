"""Tries the driver contract for `driver test`: which driver with which options, and the report."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from labkit.commands.failure import MISCONFIGURED, Failure
from labkit.commands.found_lab import FoundLab
from labkit.contract.contract import RULES, Outcome, Result
from labkit.contract.subject import Subject
from labkit.devices.bench import DeviceDeclaration
from labkit.devices.declaration import check_declarations
from labkit.plugin import Driver, DriverOptions

COLORS = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.NOT_APPLICABLE: "yellow"}
MARKS = {Outcome.PASS: "ok", Outcome.FAIL: "broken", Outcome.NOT_APPLICABLE: "not tried"}

Chosen = tuple[type[Driver[Any]], DriverOptions, str]
"""Driver, options, and how the device is called."""


def which(driver: type[Driver[Any]], lab: FoundLab, *, real: str | None, given: dict[str, Any]) -> Chosen:
    """Choose what is tried. Errors: `Failure`, also for options that the driver does not take."""
    if real is not None:
        device = declared(lab, real, simulate=False)
        if device.kind != driver.kind:
            raise Failure(f"'{real}' is of kind '{device.kind}', not '{driver.kind}'.", code=MISCONFIGURED)
        if device.options.simulate:
            raise Failure(f"'{real}' is declared with simulate = true: there is no hardware.", code=MISCONFIGURED)
        return driver, device.options, device.full_name
    if driver.simulated is None and not given:
        raise Failure(
            f"The driver '{driver.kind}' has no twin. Give its options (--option KEY=VALUE), or name a declared "
            f"device: labkit driver test {driver.kind} --real BENCH/DEVICE",
            code=MISCONFIGURED,
        )
    if not given:
        for device in devices(lab, simulate=True):
            if device.kind == driver.kind:
                return driver, device.options, device.full_name
    return driver, options_of(driver, {"simulate": driver.simulated is not None, **given}), "bench-1/tried"


def options_of(driver: type[Driver[Any]], given: dict[str, Any]) -> DriverOptions:
    try:
        return driver.Options.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'options'}: {fault['msg']}" for fault in error.errors()
        )
        raise Failure(
            f"The driver '{driver.kind}' does not take these options: {wrong}. Give what it needs by --option "
            f"KEY=VALUE, or declare a device of this kind. All of them: labkit driver doc {driver.kind}",
            code=MISCONFIGURED,
        ) from None


def devices(lab: FoundLab, *, simulate: bool) -> Iterator[DeviceDeclaration]:
    """The devices that are declared here without a mistake."""
    if lab.devices.is_dir():
        checked = check_declarations(lab.devices, lab.plugins(), simulate=simulate, machine=lab.machine)
        for bench in checked.benches:
            yield from bench.devices


def declared(lab: FoundLab, name: str, *, simulate: bool) -> DeviceDeclaration:
    """The declared device with a full name. Errors: `Failure`."""
    known = {device.full_name: device for device in devices(lab, simulate=simulate)}
    if name not in known:
        there = ", ".join(known) or "none"
        raise Failure(f"No device '{name}' is declared without a mistake. There are: {there}.", code=MISCONFIGURED)
    return known[name]


def try_driver(
    driver: type[Driver[Any]],
    options: DriverOptions,
    name: str,
    *,
    real: bool,
    call_commands: bool,
    as_json: bool,
) -> bool:
    """Try all rules and report each as it ends. Whether none is broken. Blocks for half a minute or so."""
    folder = Path(tempfile.mkdtemp(prefix="lk-"))
    subject = Subject(
        declared=driver, options=options, folder=folder, name=name, call_commands=call_commands or not real
    )
    try:
        results = []
        if not as_json:
            click.echo(f"The driver contract on {subject.driver.__name__}, {'hardware' if real else name}:\n")
        for rule in RULES:
            results.append(rule.result(subject))
            if not as_json:
                click.echo(line(results[-1]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        click.echo(json.dumps([as_object(result) for result in results], indent=2))
    else:
        click.echo("\n" + summary(results, subject))
    return all(result.outcome is not Outcome.FAIL for result in results)


def line(result: Result) -> str:
    """One rule, for people."""
    mark = click.style(f"{MARKS[result.outcome]:9}", fg=COLORS[result.outcome], bold=True)
    reason = f"\n          {result.reason}" if result.reason else ""
    why = f"\n          The rule: {result.rule.says}" if result.outcome is Outcome.FAIL else ""
    return f"{mark} {result.rule.name.replace('-', ' ')}{reason}{why}"


def summary(results: Iterable[Result], subject: Subject) -> str:
    """The last lines: how many are broken, and which commands could not be tried as they should."""
    outcomes = [result.outcome for result in results]
    counts = {MARKS[outcome]: outcomes.count(outcome) for outcome in Outcome}
    color = "red" if counts["broken"] else "green"
    lines = [click.style(", ".join(f"{count} {word}" for word, count in counts.items() if count), fg=color, bold=True)]
    failed = [] if counts["broken"] else [tried for tried in subject.tried if tried.error is not None]
    if failed:
        lines.append("Commands that refused the arguments that were made up for them; give better ones in a test:")
        lines += [f"  {tried}: {type(tried.error).__name__}: {tried.error}" for tried in failed]
    return "\n".join(lines)


def as_object(result: Result) -> dict[str, str]:
    return {
        "rule": result.rule.name,
        "outcome": result.outcome,
        "reason": result.reason,
        "says": result.rule.says,
    }


def print_rules(as_json: bool) -> None:
    """Print every rule with what it checks and why."""
    if as_json:
        click.echo(json.dumps([{"rule": rule.name, "says": rule.says} for rule in RULES], indent=2))
        return
    for rule in RULES:
        click.echo(f"{click.style(rule.name.replace('-', ' '), bold=True)}\n  {rule.says}\n")
