"""`driver`: make a driver, try the contract on one, read its page. What each needs is imported when it runs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.failure import FAILED, MISCONFIGURED, Failure, LabCommand
from labkit.commands.source import LabSource

if TYPE_CHECKING:
    from labkit.commands.found_lab import FoundLab
    from labkit.devices.plugins import Plugins
    from labkit.plugin import Driver


@click.group()
def driver() -> None:
    """Write drivers: make one, try it, read its page."""


@driver.command(cls=LabCommand)
@click.argument("name")
@click.option("--package", is_flag=True, help="Make a package that others can install: labkit-NAME/ in this folder.")
@click.pass_context
def new(context: click.Context, name: str, package: bool) -> None:
    """Make a driver of kind NAME, which works at once, on its twin.

    Writes drivers/NAME.py beside the lab, with driver, options and twin, its panel, and its tests. Overwrites nothing.
    """
    from labkit.commands.driver_files import next_steps, plan, write

    lab = lab_here(context)
    made = plan(name, lab.plugins().origins, folder=Path.cwd() if package else lab.drivers, package=package)
    for path, what in write(made):
        click.echo(f"made {click.style(str(path), bold=True)}: {what}")
    click.echo("\n" + next_steps(made))


@driver.command(cls=LabCommand)
@click.argument("name", required=False)
@click.option("--real", metavar="BENCH/DEVICE", help="Try the hardware of this declared device, not the twin.")
@click.option("--option", "given", multiple=True, metavar="KEY=VALUE", help="An option of the driver, as TOML has it.")
@click.option("--call-commands", is_flag=True, help="With --real: call its commands too; the hardware may move.")
@click.option("--rules", "show_rules", is_flag=True, help="Only print the rules, and why there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list with an object for each rule.")
@click.pass_context
def test(
    context: click.Context,
    name: str | None,
    real: str | None,
    given: Sequence[str],
    call_commands: bool,
    show_rules: bool,
    as_json: bool,
) -> None:
    """Try the driver contract on the driver NAME.

    Its twin is tried, with the options of the first device of this kind that is declared here, or those that are given.
    The exit code is 1 where a rule is broken. It takes half a minute or so.
    """
    from labkit.commands.driver_trial import print_rules, try_driver, which

    if show_rules:
        print_rules(as_json)
        return
    if name is None:
        raise Failure("Say which driver: labkit driver test NAME. All of them: labkit plugins", code=MISCONFIGURED)
    lab = lab_here(context)
    chosen = which(driver_named(lab.plugins(), name), lab, real=real, given=options_given(given))
    if not try_driver(*chosen, real=real is not None, call_commands=call_commands, as_json=as_json):
        context.exit(FAILED)


@driver.command(cls=LabCommand)
@click.argument("name")
@click.pass_context
def doc(context: click.Context, name: str) -> None:
    """Print the page of the driver NAME: what a declaration may say, its commands and feeds, in Markdown."""
    from labkit.devices.driver_page import driver_page

    plugins = lab_here(context).plugins()
    click.echo(driver_page(driver_named(plugins, name), plugins.origins[name]), nl=False)


@click.command(cls=LabCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list with an object for each plugin.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """Show every plugin, and what is wrong with it.

    Where it comes from, which drivers and panels it brings, what it hears of; of a broken one why it was left out, and
    what to do. The lab runs on without it.
    """
    from labkit.commands.plugin_list import facts, print_plugins

    found = lab_here(context).plugins()
    if as_json:
        click.echo(json.dumps(facts(found), indent=2))
    else:
        print_plugins(found)


def lab_here(context: click.Context) -> FoundLab:
    """The lab of this folder, or what could become one."""
    from labkit.commands.found_lab import find

    return find(context.find_object(LabSource), beside=Path("devices"))


def driver_named(plugins: Plugins, name: str) -> type[Driver[Any]]:
    """The driver of a kind. Errors: `Failure` with the nearest one, or with why its plugin was left out."""
    from labkit.devices.nearest import nearest

    if name in plugins.drivers:
        return plugins.drivers[name]
    for broken in plugins.broken:
        if name in (broken.name, broken.name.replace("_", "-")):
            raise Failure(f"The plugin '{broken.name}' ({broken.origin}) was left out: {broken.error}")
    meant = nearest(name, plugins.drivers)
    hint = f" Did you mean {meant}?" if meant else ""
    known = ", ".join(sorted(plugins.drivers)) or "none"
    raise Failure(f"There is no driver '{name}'.{hint} There are: {known}.", code=MISCONFIGURED)


def options_given(given: Sequence[str]) -> dict[str, Any]:
    """Options of the command line. Errors: `Failure` for what is no `KEY=VALUE` of TOML."""
    found: dict[str, Any] = {}
    for text in given:
        try:
            found.update(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            example = """--option 'lines = { red = 17 }'"""
            raise Failure(f"{text!r} is no option: {error}. Write for example {example}.", code=MISCONFIGURED) from None
    return found
