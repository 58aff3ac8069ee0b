"""The catalog: all declarations of a host, joined with their drivers. Used by the host and by `labkit devices`.

A host opens devices from it and publishes what others may know. Web processes and tasks know benches only from what was
published; they never build a catalog to find out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration, check_declarations
from labkit.devices.driver_rules import schema_of
from labkit.devices.plugins import Plugins
from labkit.devices.problems import Problem
from labkit.plugin import CommandSpec, Feed, commands_of, feeds_of


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Benches by name, bench-2 before bench-10, and the plugins that bring their drivers.

    warnings: what is likely to go wrong with the declarations, though they are taken.
    """

    benches: Mapping[str, BenchDeclaration]
    plugins: Plugins
    warnings: Sequence[Problem] = ()

    def published(self, bench: str) -> dict[str, Any]:
        """Return what everybody may know of a bench, as plain JSON: never options. Errors: KeyError that names it."""
        if bench not in self.benches:
            raise KeyError(f"There is no bench '{bench}'. Known: {', '.join(self.benches) or 'none'}.")
        declaration = self.benches[bench]
        return {
            "title": declaration.title,
            "features": list(declaration.features),
            "devices": {device.name: _device(device) for device in declaration.devices},
        }

    def for_machine(self, machine: str) -> list[BenchDeclaration]:
        """Return the benches that a machine may host: those which name it, and those which name none."""
        return [bench for bench in self.benches.values() if bench.machine in (None, machine)]


def read_catalog(
    devices_folder: Path, plugins: Plugins, *, simulate: bool = False, machine: str | None = None
) -> Catalog:
    """Read the declarations; their folder need not exist. Errors: `DeclarationError` with every problem.

    machine: the one that asks; the secrets of benches that name another one need not be here.
    """
    checked = check_declarations(devices_folder, plugins, simulate=simulate, machine=machine)
    return replace(catalog_of(checked.accepted().benches, plugins), warnings=tuple(checked.warnings))


def catalog_of(benches: Iterable[BenchDeclaration], plugins: Plugins) -> Catalog:
    """Join benches that were read already."""
    return Catalog(benches=MappingProxyType({bench.name: bench for bench in benches}), plugins=plugins)


def _device(device: DeviceDeclaration) -> dict[str, Any]:
    return {
        "kind": device.kind,
        "title": device.options.title or device.name,
        "simulated": device.options.simulate,
        "commands": {name: _command(spec) for name, spec in commands_of(device.driver).items()},
        "feeds": {name: _feed(feed) for name, feed in feeds_of(device.driver).items()},
    }


def _command(spec: CommandSpec) -> dict[str, Any]:
    return {"panel": spec.panel, "timeout": spec.timeout, "help": spec.help, "schema": schema_of(spec)}


def _feed(feed: Feed) -> dict[str, Any]:
    return {"type": feed.sort, "help": feed.help}
