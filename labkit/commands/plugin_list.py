"""What `plugins` shows: every plugin with its origin and what it brings, and the broken ones with the way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from labkit.devices.plugins import Plugins

BRINGING = ("labkit_drivers", "labkit_panels")
"""Hooks whose answers are shown in columns of their own."""
FROM_A_PACKAGE = "Install another version of it, or uninstall it; the lab runs on without it."
FROM_A_FILE = "Repair the file, or let its name begin with '_'; the lab runs on without it."


def facts(plugins: Plugins) -> list[dict[str, Any]]:
    """Every plugin, for programs. A plugin of which only a part was left out is there twice."""
    good = [
        {
            "name": plugin.name,
            "origin": plugin.origin,
            "drivers": list(plugin.drivers),
            "panels": list(plugin.panels),
            "hooks": list(plugin.hooks),
            "error": None,
            "remedy": None,
        }
        for plugin in plugins.loaded
    ]
    bad = [
        {
            "name": broken.name,
            "origin": broken.origin,
            "drivers": [],
            "panels": [],
            "hooks": [],
            "error": broken.error,
            "remedy": remedy(broken.origin),
        }
        for broken in plugins.broken
    ]
    return [*good, *bad]


def print_plugins(plugins: Plugins) -> None:
    """Print what is there, then what is broken."""
    for plugin in plugins.loaded:
        click.echo(f"{click.style(plugin.name, bold=True)}  {click.style(plugin.origin, dim=True)}")
        for what in lines(plugin.drivers, plugin.panels, plugin.hooks):
            click.echo(f"  {what}")
    for broken in plugins.broken:
        click.echo(
            f"{click.style(broken.name, bold=True)}  {click.style(broken.origin, dim=True)}\n"
            f"  {click.style('left out:', fg='red', bold=True)} {broken.error}\n  {remedy(broken.origin)}"
        )
    if not plugins.loaded and not plugins.broken:
        click.echo("There is no plugin.")


def lines(drivers: Iterable[str], panels: Iterable[str], hooks: Iterable[str]) -> Iterator[str]:
    """What a plugin brings, a line for each sort of thing."""
    events = [hook for hook in hooks if hook not in BRINGING]
    for what, names in (("drivers", drivers), ("panels", panels), ("hears of", map(spoken, events))):
        listed = ", ".join(names)
        if listed:
            yield f"{what}: {listed}"


def spoken(hook: str) -> str:
    return hook.removeprefix("labkit_").replace("_", " ")


def remedy(origin: str) -> str:
    """The way out of a broken plugin."""
    return FROM_A_FILE if origin.endswith(".py") else FROM_A_PACKAGE
