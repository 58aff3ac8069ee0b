"""What is said of a device whose driver nobody knows. Used by the reader of a bench."""

from __future__ import annotations

from typing import Any

from labkit.devices.bench import BenchOptions
from labkit.devices.plugins import BrokenPlugin, Plugins
from labkit.devices.problems import Complaint, nearest, shortened


def no_driver(name: str, table: dict[str, Any], plugins: Plugins) -> Complaint:
    """The complaint about a table that names no driver, or names it under a mistyped key."""
    mistyped = next((key for key in table if nearest(key, ["driver"])), None)
    if mistyped is not None:
        return Complaint(path=(mistyped,), message=f"{mistyped}: unknown key.", suggestion="driver")
    if table and table.keys() <= BenchOptions.model_fields.keys():
        return Complaint(path=(), message="no driver is named here.", suggestion=nearest(name, ["bench"]))
    return Complaint(path=(), message=f"driver: missing key; it has to be given. Known drivers: {_kinds(plugins)}.")


def unknown_driver(kind: str, plugins: Plugins) -> Complaint:
    """The complaint about a driver that there is not, with the broken plugin that may be why."""
    message = f"driver: there is no driver '{shortened(kind)}'. Known drivers: {_kinds(plugins)}."
    suggestion = nearest(kind, plugins.drivers)
    guilty = [one for one in plugins.broken if _may_bring(one, kind)]
    for broken in guilty or ([] if suggestion else plugins.broken):
        message += f" Plugin '{broken.name}' ({broken.origin}) may bring it but is broken: {broken.error}"
    return Complaint(path=("driver",), message=message, suggestion="" if guilty else suggestion)


def _may_bring(broken: BrokenPlugin, kind: str) -> bool:
    return kind in broken.name or kind in broken.error


def _kinds(plugins: Plugins) -> str:
    return ", ".join(sorted(plugins.drivers)) or "none"
